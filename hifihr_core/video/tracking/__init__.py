"""Hands from frame to frame: what the eyes see, identities and sides that stay, the journal of a clip."""
