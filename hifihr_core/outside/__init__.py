"""The door for everything that comes from outside: bytes, JSON, arrays, zips, folders. All of it is bounded and
checked, and errors are one line.
"""
