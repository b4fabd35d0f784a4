"""Lift 21 keypoints to a hand: the lifting network, its training, and the least-squares fit."""
