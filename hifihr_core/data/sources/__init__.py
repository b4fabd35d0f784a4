"""Readers of raw datasets, one small file each."""
