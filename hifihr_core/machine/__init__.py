"""What this machine computes on, and which part of the work is its own."""
