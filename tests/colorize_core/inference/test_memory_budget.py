import io
from collections.abc import Iterator

import numpy as np
import pytest
import tifffile

from colorize_core.inference.memory_budget import estimate_memory, split_within_budget
from colorize_core.photo.header import read_header


@pytest.mark.parametrize(
    ("needs", "limit", "groups"),
    [
        ([3, 3, 5, 4, 1], 6, [[3, 3], [5], [4, 1]]),
        ([1, 10, 2], 5, [[1], [10], [2]]),
        ([10**12, 10**12], None, [[10**12, 10**12]]),
        ([], 5, []),
    ],
)
def test_groups_are_in_order_and_within_the_limit(needs: list[int], limit: int | None, groups: list[list[int]]) -> None:
    assert list(split_within_budget(needs, int, limit)) == groups


def test_items_are_taken_as_groups_are_requested() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for need in (3, 3, 3):
            taken.append(need)
            yield need

    assert next(split_within_budget(items(), int, 3)) == [3]
    assert len(taken) == 2  # the group, and the item that did not fit into it


def test_memory_grows_with_pixels_channels_and_depth() -> None:
    def needed(pixels: np.ndarray) -> int:
        """Memory for a TIFF of the pixels; the last of two or four channels is alpha."""
        sink = io.BytesIO()
        channels = pixels.shape[2] if pixels.ndim == 3 else 1
        extra = ["unassalpha"] if channels in (2, 4) else []
        tifffile.imwrite(
            sink, pixels, photometric="minisblack" if channels < 3 else "rgb", planarconfig="contig", extrasamples=extra
        )
        return estimate_memory(read_header(sink.getvalue()))

    assert needed(np.zeros((20, 10), np.uint8)) == 2 * needed(np.zeros((10, 10), np.uint8))
    shapes = [(10, 10), (10, 10, 3)]
    for kind in (np.uint8, np.uint16):
        gray, color = (needed(np.zeros(shape, kind)) for shape in shapes)
        assert gray < color < needed(np.zeros((10, 10, 4), kind))
        assert gray < needed(np.zeros((10, 10, 2), kind))
    assert needed(np.zeros((10, 10), np.uint8)) < needed(np.zeros((10, 10), np.uint16))
