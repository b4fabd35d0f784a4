"""Training: data in, a run folder out."""
