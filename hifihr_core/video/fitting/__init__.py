"""A hand through time: one shape, smooth poses, fitted to what was seen of it."""
