"""Augmentation as pure functions of (seed, epoch, key): random draws, motion of pixels and labels, and colours."""
