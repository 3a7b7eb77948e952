"""HTML pages of archive runs and evaluations."""
