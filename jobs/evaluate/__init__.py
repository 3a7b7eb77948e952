"""`colorize evaluate`: scores of checkpoints on a test split."""
