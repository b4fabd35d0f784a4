"""Track hands from frame to frame, with stable identities and sides; record them in the journal of a clip."""
