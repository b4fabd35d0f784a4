"""Scoring: the official benchmarks of FreiHAND and HO-3D, prediction files, reports, and running a checkpoint."""
