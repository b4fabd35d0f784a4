"""Lift 21 keypoints to a 3D hand: the lifter, the hand network, their training, and the least-squares fit."""
