"""How inputs are shared out."""

import pytest

from jobs.archive.pipeline import block_sizes


@pytest.mark.parametrize("count", [1, 31, 33, 200, 1000, 5000])
@pytest.mark.parametrize("actors", [1, 2, 8])
def test_blocks_hold_all_inputs_in_whole_batches_and_none_is_too_large(count: int, actors: int) -> None:
    sizes = block_sizes(count, 256, 32, actors)
    assert sum(sizes) == count
    assert all(0 < size <= 256 for size in sizes)
    assert all(size % 32 == 0 for size in sizes[:-1])


def test_blocks_shrink_toward_the_end() -> None:
    assert block_sizes(1000, 256, 32, 2) == [224, 192, 128, 96, 64, 64, 32, 32, 32, 32, 32, 32, 32, 8]


def test_few_inputs_are_work_for_every_actor() -> None:
    assert len(block_sizes(250, 256, 32, 8)) == 8


def test_no_inputs_are_no_blocks() -> None:
    assert block_sizes(0, 256, 32, 2) == []
