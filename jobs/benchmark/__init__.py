"""`colorize benchmark`: the verbs measured."""
