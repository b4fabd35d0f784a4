"""Augmentation as pure functions of (seed, epoch, key): draws, motion of pixels and labels, colours."""
