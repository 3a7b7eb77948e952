"""Memory that coloring a photograph takes, estimated from its header."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from PIL import Image

Item = TypeVar("Item")

# Bytes per pixel by bits per channel: decoded pixels, output pixels, Pillow's copy of them, and an encoded file that
# does not compress. Measured as peak resident memory on noise of 16 megapixels; strips in progress are not included.
_GRAY = {8: 10, 16: 18}
_COLOR = {8: 17, 16: 28}
_ALPHA = 10


def estimate_memory(image: Image.Image, has_16_bit_channels: bool) -> int:
    """Return the maximum number of bytes that coloring a photograph takes, without the strips in progress.

    Args:
        image: opened, not loaded.
        has_16_bit_channels: True if it has several channels of 16 bits, which Pillow's mode does not show.
    """
    gray = image.mode in ("1", "L", "LA") or image.mode.startswith(("I", "F"))
    bits = 16 if has_16_bit_channels or image.mode.startswith(("I", "F")) else 8
    has_alpha = image.mode.endswith(("A", "a")) or "transparency" in image.info
    return image.width * image.height * ((_GRAY if gray else _COLOR)[bits] + (_ALPHA if has_alpha else 0))


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
