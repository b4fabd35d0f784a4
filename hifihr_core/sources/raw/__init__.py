"""Read the files of downloaded datasets: folders, zips, JSON lists, pickles."""
