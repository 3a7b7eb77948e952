"""What makes a verb a run: its record, lock, progress, metrics and requirements."""
