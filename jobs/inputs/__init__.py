"""Which files a job works on, and their bytes."""
