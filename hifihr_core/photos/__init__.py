"""Users' photos: reading, cameras, and the hands found in them."""
