"""Track hands from frame to frame: sightings, stable identities and sides, the journal of a clip."""
