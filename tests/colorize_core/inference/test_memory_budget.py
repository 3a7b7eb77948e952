from collections.abc import Iterator

import pytest
from PIL import Image

from colorize_core.inference.memory_budget import estimate_memory, split_within_budget


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


def test_memory_grows_with_pixels_and_channels() -> None:
    assert estimate_memory(Image.new("L", (10, 20)), False) == 2 * estimate_memory(Image.new("L", (10, 10)), False)
    kinds = [("L", False), ("RGB", False), ("I;16", False), ("RGBA", False), ("RGB", True), ("RGBA", True)]
    needs = [estimate_memory(Image.new(mode, (10, 10)), has_16_bits) for mode, has_16_bits in kinds]
    assert needs == sorted(set(needs))
