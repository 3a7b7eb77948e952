"""Where a job runs: connecting to Ray, reaching storage."""
