"""The contents of a run folder: journal, sample pictures, report."""
