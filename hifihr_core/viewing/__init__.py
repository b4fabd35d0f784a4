"""Results in a browser: what `hifihr view` runs."""
