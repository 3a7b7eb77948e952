"""`colorize prepare`: photographs to Lab shards."""
