"""Stream shards and synthetic hands into batches: order, decoding, augmentation, collation."""
