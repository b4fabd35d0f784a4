"""What this machine computes on: devices and compiled kernels."""
