"""From 21 keypoints to a hand: the lifting network, its training, and the fit by least squares."""
