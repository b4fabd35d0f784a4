"""From clips and cameras to tracked, smooth, animated hands."""
