"""Tuning of glibc's allocator: freed memory is kept and reused instead of being returned to the system."""

import ctypes

# Parameters of mallopt(3), and values.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
_RETAINED_TOTAL = 256 << 20
_HEAP = 64 << 20  # size of the heap of each thread except the first
_NO_LIMIT = -1

MAX_RETAINED_BYTES = 32 << 20
"""Size in bytes of the largest block that `retain_freed_memory` keeps; glibc allows no larger limit."""
SINGLE_ARENA_ENV = {"MALLOC_ARENA_MAX": "1"}
"""Environment for a process in which a thread other than the first must keep all memory: by default glibc gives such
threads heaps of their own, which cannot hold blocks above 64 MB."""


def retain_freed_memory(*, everything: bool = False) -> None:
    """Make this process keep freed memory and reuse it; does nothing without glibc.

    By default, the memory of each image and each layer is requested from the system anew, as zeroed pages. That takes
    a tenth of the time of a 640x480 photograph with lite, and a third of a training step of encoder_decoder.

    Args:
        everything: keep all memory, for work that allocates the same sizes repeatedly, as training does. Otherwise
            256 MB are kept and blocks above 32 MB are returned at once, since the next photograph may be smaller.
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
        mallopt(_TOP_PAD, _HEAP)  # without it, the heap of another thread is returned as soon as it is empty
        mallopt(_TRIM_THRESHOLD, _RETAINED_TOTAL)
