"""View results in a browser: the work of `hifihr view`."""
