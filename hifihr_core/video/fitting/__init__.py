"""A hand through time: one shape and smooth poses, fitted to its sightings."""
