"""Training data: shards, the loader, augmentation."""
