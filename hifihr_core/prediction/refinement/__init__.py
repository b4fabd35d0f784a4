"""The two halves of a refinement: joints and outline by Gauss-Newton, then the picture by first-order steps."""
