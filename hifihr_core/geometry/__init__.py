"""Cameras, crops, alignment and meshes: pure functions of tensors. Rotations are in `turns`."""
