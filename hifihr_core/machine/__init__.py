"""The devices of this machine, and its share of the work."""
