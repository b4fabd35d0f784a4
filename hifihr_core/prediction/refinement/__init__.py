"""The two stages of a refinement: joints and outline by Gauss-Newton, then the image by first-order steps."""
