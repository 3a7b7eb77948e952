"""Memory that coloring a photograph takes, estimated from its header."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from colorize_core.photo.header import Header

Item = TypeVar("Item")

# Bytes per pixel by bits per channel: decoded pixels, output pixels, Pillow's copy of them, and an encoded file that
# does not compress. Measured as peak resident memory on noise of 16 megapixels; strips in progress are not included.
_GRAY = {8: 10, 16: 18}
_COLOR = {8: 17, 16: 28}
_ALPHA = 10


def estimate_memory(header: Header) -> int:
    """Return the maximum number of bytes that coloring a photograph takes, without the strips in progress."""
    by_bits = _GRAY if header.is_gray else _COLOR
    per_pixel = by_bits[16 if header.bits > 8 else 8] + (_ALPHA if header.has_alpha else 0)
    return header.width * header.height * per_pixel


def split_within_budget(
    items: Iterable[Item], memory: Callable[[Item], int], limit: int | None
) -> Iterator[list[Item]]:
    """Cut items, in order, into groups that need at most `limit` bytes; an item that needs more is its own group.

    Items are taken from the iterable as groups are requested.
    """
    group: list[Item] = []
    total = 0
    for item in items:
        needed = memory(item)
        if group and limit is not None and total + needed > limit:
            yield group
            group, total = [], 0
        group.append(item)
        total += needed
    if group:
        yield group
