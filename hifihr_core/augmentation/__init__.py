"""Augmentation as pure functions of (seed, epoch, key): draws, moves of pixels and labels, colours."""
