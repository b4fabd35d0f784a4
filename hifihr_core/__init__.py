"""hifihr: from one photo of a hand to an accurate, posed, textured 3D hand. See docs/conventions.md."""

__version__ = "0.1.0"
