"""How much memory coloring a photograph takes, told from its header; and memory that is used again."""

import ctypes

# Of mallopt(3), which takes a number and a value.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
_KEPT = 256 << 20
_HEAP = 64 << 20  # of each thread but the first
_NO_LIMIT = -1

MAX_RETAINED_BYTES = 32 << 20
"""Size in bytes up to which `retain_freed_memory` has a process keep what it frees; glibc allows no larger limit."""
SINGLE_ARENA_ENV = {"MALLOC_ARENA_MAX": "1"}
"""Environment of a process in which another thread than the first keeps everything: glibc would give that heaps of its
own, in which nothing is larger than 64 MB."""


def show(size: int) -> str:
    """Bytes for people, in MB or GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def retain_freed_memory(*, everything: bool = False) -> None:
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
        mallopt(_MMAP_THRESHOLD, MAX_RETAINED_BYTES)
        mallopt(_TOP_PAD, _HEAP)  # or a heap of another thread goes back as soon as it is empty
        mallopt(_TRIM_THRESHOLD, _KEPT)
