"""The page of an evaluation, and blind ratings."""
