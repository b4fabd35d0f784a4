"""Networks: encoders, heads, the reconstructor, and the placement of its estimates."""
