"""Streams of batches from shards and from synthetic hands: order, decoding, augmentation, collation."""
