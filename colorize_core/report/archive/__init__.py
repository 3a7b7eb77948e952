"""The page of an archive run."""
