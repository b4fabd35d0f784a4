"""Track the hands in front of a camera in real time: skip to the newest picture, smooth motion, write JSON."""
