"""Write the output for a clip (overlay, timeline, track files), and recorded or synthetic clips."""
