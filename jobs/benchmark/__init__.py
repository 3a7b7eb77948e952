"""`colorize benchmark`: measure the verbs on this machine."""
