"""`colorize train`: DDP training with Ray Train."""
