"""`colorize evaluate`: score checkpoints."""
