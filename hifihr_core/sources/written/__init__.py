"""Write synthetic data in the datasets' own layouts."""
