"""Write synthetic data in the raw layouts of real datasets."""
