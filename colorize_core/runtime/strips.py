"""Strip-wise processing of large images: bounded memory, and strips that stay in the processor's caches."""

from collections.abc import Iterator

_PIXELS_PER_STRIP = 1 << 19


def row_slices(rows: int, pixels_per_row: int) -> Iterator[slice]:
    """Cut `rows` into consecutive slices of about half a million pixels each, at least one row."""
    step = max(_PIXELS_PER_STRIP // max(pixels_per_row, 1), 1)
    for top in range(0, rows, step):
        yield slice(top, min(top + step, rows))
