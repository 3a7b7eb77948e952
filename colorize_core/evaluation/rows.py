"""Rows of an evaluation beside the checkpoints: baselines, ceilings and the mixture of all models.

The module works without torch, which takes seconds to import.
"""

from collections.abc import Iterable

GRAY, CONSTANT, ORACLE = "gray", "constant color", "oracle color"
BASELINES = (GRAY, CONSTANT, ORACLE)
ENSEMBLE = "ensemble"
"""Name of the row of the mixture of all models."""
_CEILING = "ceiling "


def ceiling_sizes(working_sizes: Iterable[int], size: int) -> list[int]:
    """Return the working sizes that limit the chroma of photographs of `size` px, each once.

    At the size of the photographs and above, the true chroma passes unchanged: its row would say nothing.
    """
    return sorted({each for each in working_sizes if each < size})


def ceiling_name(working_size: int) -> str:
    """Return the name of the row for true chroma at a working size."""
    return f"{_CEILING}{working_size} px"


def has_ceiling(names: Iterable[str]) -> bool:
    """Return True if one of the rows is for true chroma at a working size."""
    return any(name.startswith(_CEILING) for name in names)
