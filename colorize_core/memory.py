"""How much memory colouring a photograph takes, told from its header."""

from collections.abc import Iterator

from PIL import Image

_WIDE_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_GRAY_BYTES, _WIDE_GRAY_BYTES, _COLOR_BYTES = 13, 20, 24


def needed_memory(image: Image.Image) -> int:
    """Bytes for the pixels of an opened photograph, at most, on its way to a picture."""
    if image.mode in _WIDE_MODES:
        per_pixel = _WIDE_GRAY_BYTES
    else:
        per_pixel = _GRAY_BYTES if image.mode in ("1", "L") else _COLOR_BYTES
    return image.width * image.height * per_pixel


def groups_within(needs: dict[int, int], limit: int | None) -> Iterator[list[int]]:
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


def show(size: int) -> str:
    """Bytes for people, in MB or GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
