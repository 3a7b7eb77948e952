import io

import numpy as np
import pytest
from PIL import Image

from colorize_core.evaluation.sample_grid import sample_grid


def page(columns: dict[str, np.ndarray], cell: int) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(sample_grid(columns, cell))))


def flat(*levels: int) -> np.ndarray:
    """Images of the color (level, 0, 0), which no letter of a heading has, as (N, 3, 8, 8)."""
    images = np.zeros((len(levels), 3, 8, 8), np.uint8)
    images[:, 0] = np.array(levels)[:, None, None]
    return images


def shown(drawn: np.ndarray, level: int) -> np.ndarray:
    """Pixels of the grid with a level of `flat`."""
    return (drawn == (level, 0, 0)).all(axis=2)


def places(drawn: np.ndarray, level: int) -> tuple[int, int, int, int]:
    """Box of the pixels of one level of `flat`: top, left, bottom, right."""
    ys, xs = np.nonzero(shown(drawn, level))
    return int(ys.min()), int(xs.min()), int(ys.max()) + 1, int(xs.max()) + 1


def test_the_grid_is_a_png() -> None:
    assert Image.open(io.BytesIO(sample_grid({"a": flat(10)}))).format == "PNG"


def test_every_image_fills_its_cell() -> None:
    top, left, bottom, right = places(page({"a": flat(77)}, cell=50), 77)
    assert (bottom - top, right - left) == (50, 50)


def test_photographs_keep_their_aspect_ratio() -> None:
    wide = np.zeros((3, 10, 40), np.uint8)
    wide[0] = 77
    tall = np.zeros((3, 40, 20), np.uint8)
    tall[0] = 88
    drawn = np.asarray(Image.open(io.BytesIO(sample_grid({"a": [wide, tall]}, cell=80))))
    for level, size in ((77, (20, 80)), (88, (80, 40))):
        top, left, bottom, right = places(drawn, level)
        assert (bottom - top, right - left) == size


def test_models_are_columns_and_photographs_are_rows() -> None:
    drawn = page({"first": flat(50, 60), "second": flat(70, 80)}, cell=20)
    boxes = {level: places(drawn, level) for level in (50, 60, 70, 80)}
    assert boxes[50][0] == boxes[70][0] < boxes[60][0] == boxes[80][0]
    assert boxes[50][1] == boxes[60][1] < boxes[70][1] == boxes[80][1]


def test_columns_keep_their_order() -> None:
    drawn = page({"z": flat(50), "a": flat(60), "m": flat(70)}, cell=20)
    assert places(drawn, 50)[1] < places(drawn, 60)[1] < places(drawn, 70)[1]


def test_images_of_the_size_of_the_cell_are_shown_pixel_for_pixel(photos: np.ndarray) -> None:
    drawn = page({"photo": photos[:1].transpose(0, 3, 1, 2)}, cell=256)
    windows = np.lib.stride_tricks.sliding_window_view(drawn, (256, 256, 3))[:, :, 0]
    assert any((window == photos[0]).all() for row in windows for window in row)


@pytest.mark.parametrize("count", [1, 3])
def test_all_images_fit_in_the_grid(count: int) -> None:
    drawn = page({"a": flat(*range(50, 50 + count))}, cell=30)
    assert [int(shown(drawn, level).sum()) for level in range(50, 50 + count)] == [30 * 30] * count


def test_a_heading_is_drawn() -> None:
    assert (page({"name": flat(255)}, cell=60) < 128).all(axis=2).any()


def test_another_heading_is_another_drawing() -> None:
    assert sample_grid({"one": flat(9)}) != sample_grid({"two": flat(9)})


def test_a_long_heading_stays_in_its_column() -> None:
    long, short = (page({heading: flat(255), "other": flat(77)}, cell=60) for heading in ("w" * 100, "w"))
    left = places(short, 77)[1]
    np.testing.assert_array_equal(long[:, left:], short[:, left:])


def test_a_long_heading_is_shortened_at_its_end() -> None:
    same = [page({f"{'w' * 50}{end}": flat(255)}, cell=60) for end in ("a", "b")]
    other = page({f"a{'w' * 50}": flat(255)}, cell=60)
    np.testing.assert_array_equal(*same)
    assert (other != same[0]).any()
