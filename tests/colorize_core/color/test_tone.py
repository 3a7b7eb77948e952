import io

import numpy as np
import pytest
from PIL import Image
from skimage import color, data

from colorize_core.benchmark.sample_photos import whole_photographs
from colorize_core.color.tone import find_tone

PHOTOS = whole_photographs()
names = pytest.mark.parametrize("name", sorted(PHOTOS))


def toned(photo: np.ndarray, degrees: float, chroma: float, fading: float = 0.0) -> np.ndarray:
    """A scan of a toned print: strongest in the middle tones, unevenly faded, with noise and JPEG blocks."""
    L = color.rgb2lab(photo)[..., 0] if photo.ndim == 3 else photo / 255 * 100
    y, x = np.mgrid[-1 : 1 : L.shape[0] * 1j, -1 : 1 : L.shape[1] * 1j]
    strength = chroma * np.sqrt(4 * (L / 100) * (1 - L / 100)) * (1 + fading * (x + y) / 2)
    angle = np.radians(degrees)
    lab = np.stack([L, strength * np.cos(angle), strength * np.sin(angle) + 3 * fading * x], axis=-1)
    noise = np.random.default_rng(0).normal(0, 3, (*photo.shape[:2], 3))
    sink = io.BytesIO()
    scan = (color.lab2rgb(lab) * 255 + noise).clip(0, 255).astype(np.uint8)
    Image.fromarray(scan).save(sink, "JPEG", quality=80)
    return np.asarray(Image.open(sink))


@names
@pytest.mark.parametrize(("degrees", "tone"), [(70, "sepia"), (250, "blue"), (340, "toned")])
@pytest.mark.parametrize("fading", [0.0, 0.4])
def test_a_toned_print_is_found_and_named(name: str, degrees: float, tone: str, fading: float) -> None:
    found = find_tone(toned(PHOTOS[name], degrees, 18, fading))
    assert found is not None
    assert found.name == tone
    assert abs((found.hue - degrees + 180) % 360 - 180) < 15


@names
@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_photographs_in_color_have_no_tone_even_if_their_colors_are_muted(name: str, factor: float) -> None:
    lab = color.rgb2lab(PHOTOS[name]) * (1, factor, factor)
    assert find_tone((color.lab2rgb(lab) * 255).round().astype(np.uint8)) is None


def test_gray_photographs_have_no_tone() -> None:
    assert find_tone(np.repeat(data.camera()[..., None], 3, axis=2)) is None
    assert find_tone(toned(data.camera(), 70, 2)) is None
