"""The weights that come with the project, beside this file; docs/results/starter.md is their model card."""

from pathlib import Path

STARTER = "starter"
"""Names them wherever a checkpoint is asked for; a directory of that name is `./starter`."""


def locate_checkpoint(location: str) -> str:
    """The directory or URI of a checkpoint: as given, or that of `STARTER`."""
    return str(Path(__file__).parent) if location == STARTER else location
