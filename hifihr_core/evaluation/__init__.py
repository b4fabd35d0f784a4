"""Scoring: the official protocols of FreiHAND and HO-3D, prediction files, reports, and running a checkpoint."""
