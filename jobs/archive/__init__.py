"""`colorize archive`: color an archive with Ray Data."""
