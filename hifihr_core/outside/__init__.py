"""The entry point for all external data: bytes, JSON, arrays, zips, folders. Everything is limited and checked, and
errors are one line.
"""
