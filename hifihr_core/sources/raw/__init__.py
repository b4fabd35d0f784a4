"""Read downloads: zips, folders, JSON columns, pickles."""
