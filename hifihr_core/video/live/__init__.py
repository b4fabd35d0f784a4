"""Track the hands in front of a camera in real time: the newest frame, filters, one JSON line per frame."""
