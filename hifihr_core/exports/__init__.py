"""Hands as files for other programs: meshes, GLB, OBJ, PLY, JSON, NPZ."""
