"""Evaluation: score prediction files and checkpoints on the official benchmarks, and write reports."""
