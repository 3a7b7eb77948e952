"""`colorize doctor`: checks before a job."""
