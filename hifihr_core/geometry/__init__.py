"""Cameras, crops, alignment and meshes: pure functions of tensors or arrays. Rotations are in `turns`."""
