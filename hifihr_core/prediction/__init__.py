"""From any photo to posed, textured hands: `Predictor`."""
