"""How much memory a photograph takes on its way to color, estimated from its header."""

from collections.abc import Iterator

from PIL import Image

# Bytes a pixel, by bits a channel: the pixels, the picture, Pillow's copy of it, and a file that does not compress.
# Measured as peaks of resident memory on noise of 16 megapixels, beyond the strips at work.
_GRAY = {8: 10, 16: 18}


_COLOR = {8: 17, 16: 28}


_ALPHA = 10


def needed_memory(image: Image.Image, wide: bool) -> int:
    """Bytes for an opened photograph on its way to a picture, at most; the strips at work are not counted.

    Args:
        image: opened, not loaded.
        wide: whether its several channels have 16 bits (`wide.has_16_bit_channels`), which Pillow's modes do not tell.
    """
    gray = image.mode in ("1", "L", "LA") or image.mode.startswith(("I", "F"))
    bits = 16 if wide or image.mode.startswith(("I", "F")) else 8
    has_alpha = image.mode.endswith(("A", "a")) or "transparency" in image.info
    return image.width * image.height * ((_GRAY if gray else _COLOR)[bits] + (_ALPHA if has_alpha else 0))


def split_within_budget(needs: dict[int, int], limit: int | None) -> Iterator[list[int]]:
    """Cut the keys of `needs`, in order, into groups whose needs sum up to the limit at most, or are of one key."""
    group: list[int] = []
    total = 0
    for index, need in needs.items():
        if group and limit is not None and total + need > limit:
            yield group
            group, total = [], 0
        group.append(index)
        total += need
    if group:
        yield group
