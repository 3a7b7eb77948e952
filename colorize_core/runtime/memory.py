"""How much memory colouring a photograph takes, told from its header; and memory that is used again."""

import ctypes
from collections.abc import Iterator

from PIL import Image

# Bytes a pixel, by bits a channel: the pixels, the picture, Pillow's copy of it, and a file that does not compress.
# Measured as peaks of resident memory on noise of 16 megapixels, beyond the strips at work.
_GRAY = {8: 10, 16: 18}
_COLOR = {8: 17, 16: 28}
_ALPHA = 10
# Of mallopt(3), which takes a number and a value.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
_KEPT = 256 << 20
_HEAP = 64 << 20  # of each thread but the first
_NO_LIMIT = -1

LARGEST_KEPT = 32 << 20
"""Size in bytes up to which `keep_freed_memory` has a process keep what it frees; glibc allows no larger limit."""
ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}
"""Environment of a process in which another thread than the first keeps everything: glibc would give that heaps of its
own, in which nothing is larger than 64 MB."""


def needed_memory(image: Image.Image, wide: bool) -> int:
    """Bytes for an opened photograph on its way to a picture, at most; the strips at work are not counted.

    Args:
        image: opened, not loaded.
        wide: whether its several channels have 16 bits (`wide.is_wide`), which Pillow's modes do not tell.
    """
    gray = image.mode in ("1", "L", "LA") or image.mode.startswith(("I", "F"))
    bits = 16 if wide or image.mode.startswith(("I", "F")) else 8
    has_alpha = image.mode.endswith(("A", "a")) or "transparency" in image.info
    return image.width * image.height * ((_GRAY if gray else _COLOR)[bits] + (_ALPHA if has_alpha else 0))


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
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def keep_freed_memory(*, everything: bool = False) -> None:
    """Have this process keep what it frees and use it again; without effect but on Linux's libc.

    By default each picture and each layer of a model gets its memory from the system anew, in pages that are cleared
    first: a tenth of the time of a photograph of 640x480 with lite, a third of a training step of encoder_decoder.

    Args:
        everything: for work that takes the same memory again and again, as training does. Else 256 MB are kept, and
            what is larger than 32 MB goes back at once: the next photograph may be a small one.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    if everything:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _NO_LIMIT)
    else:
        mallopt(_MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(_TOP_PAD, _HEAP)  # or a heap of another thread goes back as soon as it is empty
        mallopt(_TRIM_THRESHOLD, _KEPT)
