"""Photos of users: reading, cameras, and the hands found in them."""
