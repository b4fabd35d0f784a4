"""Readers for all external data: bytes, JSON, arrays, pickles, zips, folders. They limit sizes, check contents, and
report errors in one line.
"""
