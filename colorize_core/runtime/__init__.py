"""Memory, precision, subprocesses and timers of a process."""
