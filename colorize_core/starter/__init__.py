"""Weights that ship with the project, in this directory; docs/results/starter.md is their model card."""

from pathlib import Path

STARTER = "starter"
"""Name that selects these weights wherever a checkpoint is expected; `./starter` is a directory of that name."""


def locate_checkpoint(location: str) -> str:
    """Return the directory or URI of a checkpoint: `location` itself, or the directory of `STARTER`."""
    return str(Path(__file__).parent) if location == STARTER else location
