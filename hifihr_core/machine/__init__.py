"""What this machine computes on, and which part of the work it does."""
