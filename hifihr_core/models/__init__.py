"""Networks: encoders, heads, the reconstructor, and what becomes of its estimate."""
