"""Cameras, crops, alignment and meshes: pure functions of tensors. Rotations come from roma."""
