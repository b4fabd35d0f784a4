"""Writing synthetic data in the datasets' own layouts."""
