"""MANO: model, arrays, conversion of the published files, parameters for other programs."""
