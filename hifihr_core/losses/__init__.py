"""Loss terms, the supervision table, and their evaluation on a batch."""
