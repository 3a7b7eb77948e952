"""The page of an evaluation, and the page for blind ratings."""
