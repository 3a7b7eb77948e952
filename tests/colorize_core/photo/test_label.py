import numpy as np
import pytest
from PIL import Image

from colorize_core.photo.label import draw_label
from colorize_core.photo.options import EncodingOptions
from tests.colorize_core.photo.images import RGB, encoded, opened


def changed(size: tuple[int, int], text: str = "colorized") -> np.ndarray:
    """Return which pixels of a mid-gray image a label changes."""
    image = Image.new("RGB", size, (128, 128, 128))
    draw_label(image, text)
    return (np.asarray(image) != 128).any(axis=2)


@pytest.mark.parametrize("size", [(640, 480), (4000, 3000), (300, 1200)])
def test_a_label_is_small_and_in_the_lower_right_corner(size: tuple[int, int]) -> None:
    rows, columns = np.nonzero(changed(size))
    assert (rows.max(), columns.max()) == (size[1] - 1, size[0] - 1)
    assert rows.min() > 0.93 * size[1]
    assert columns.min() > 0.45 * size[0]


def test_the_words_are_white_on_dark() -> None:
    image = Image.new("RGB", (640, 480), (128, 128, 128))
    draw_label(image, "colorized")
    strip = np.asarray(image)[-10:, -80:]
    assert strip.max() > 230
    assert strip.min() < 80


@pytest.mark.parametrize("size", [(1, 1), (5, 200), (40, 30)])
def test_tiny_images_can_be_labeled(size: tuple[int, int]) -> None:
    assert changed(size, "a long label of many words for a tiny image").any()


@pytest.mark.parametrize(("format", "labeled"), [("jpeg", True), ("webp", True), ("png", False), ("tiff", False)])
def test_only_lossy_formats_are_labeled(format: str, labeled: bool) -> None:
    plain, marked = (np.asarray(opened(encoded(RGB, format, label=label))).astype(int) for label in (None, "colorized"))
    assert (np.abs(plain - marked).max() > 60) == labeled


@pytest.mark.parametrize("label", ["", "\u7740\u8272", "two\nlines", "x" * 61])
def test_labels_that_cannot_be_drawn_are_refused(label: str) -> None:
    with pytest.raises(ValueError, match="label"):
        EncodingOptions(label=label)
