"""The door for everything that comes from outside: bytes, JSON, arrays, zips, folders. Bounded, checked, one line."""
