"""How far a prediction is from the truth: points and surfaces (`pose`, `nearest`), pictures (`image`, `psnr`)."""
