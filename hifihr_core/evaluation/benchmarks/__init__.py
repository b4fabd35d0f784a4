"""The official benchmarks of FreiHAND and HO-3D: files of points, scores, submissions."""
