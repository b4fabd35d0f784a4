"""Training: build a run from its settings, take steps, validate, and write the results to a run folder."""
