"""Process-level helpers: memory, precision, subprocesses, timers, small files."""
