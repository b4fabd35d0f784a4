"""Write hands to files for other programs: GLB, USDZ, OBJ, PLY, BVH, JSON, NPZ, and a page for browsers."""
