"""Everything between a download and a training batch: sources, shards, order, stream, augmentation."""
