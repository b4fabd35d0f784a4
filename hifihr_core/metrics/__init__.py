"""Metrics: errors of points and surfaces (`pose`, `nearest`) and of pictures (`image`, `psnr`)."""
