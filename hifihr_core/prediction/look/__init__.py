"""Skin, light and texture of the hands of a photo, inferred from its pixels."""
