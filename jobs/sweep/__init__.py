"""`colorize sweep`: grids of training runs."""
