"""Hands in front of a camera, as they come: the newest frame, filters, one JSON line per picture."""
