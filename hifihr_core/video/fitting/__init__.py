"""Fit a hand over time: one shape and smooth poses that explain its sightings."""
