"""`colorize sweep`: training runs over grids of values."""
