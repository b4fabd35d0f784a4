"""Reading what was downloaded: zips, folders, JSON columns, pickles."""
