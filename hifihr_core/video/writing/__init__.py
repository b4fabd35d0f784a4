"""What is written for a clip: overlay, timeline, files of every track; and clips that are recorded or synthetic."""
