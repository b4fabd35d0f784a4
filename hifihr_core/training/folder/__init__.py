"""What a run leaves in its folder: journal, sample pictures, report."""
