import pytest

from colorize_core.runtime import strips


@pytest.mark.parametrize("rows", [1, 2, 7, 1000])
@pytest.mark.parametrize("pixels_per_row", [1, 10, 700, 1 << 19, 1 << 24])
def test_slices_cover_every_row_once_in_order(rows: int, pixels_per_row: int) -> None:
    covered = [row for strip in strips.row_slices(rows, pixels_per_row) for row in range(rows)[strip]]
    assert covered == list(range(rows))


def test_slices_end_at_the_last_row() -> None:
    assert [strip.stop for strip in strips.row_slices(1000, 1 << 12)][-1] == 1000


def test_no_slice_is_larger_than_half_a_million_pixels() -> None:
    assert max(strip.stop - strip.start for strip in strips.row_slices(10000, 700)) * 700 <= 1 << 19


def test_a_small_image_is_one_slice() -> None:
    assert list(strips.row_slices(256, 256)) == [slice(0, 256)]


def test_a_row_above_the_limit_is_a_slice_of_its_own() -> None:
    assert list(strips.row_slices(2, 1 << 20)) == [slice(0, 1), slice(1, 2)]


def test_zero_rows_give_no_slices() -> None:
    assert list(strips.row_slices(0, 100)) == []
