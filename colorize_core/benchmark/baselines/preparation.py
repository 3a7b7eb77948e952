"""Conversion of photographs to training data as tutorials do, one at a time in float64, as a baseline."""

import io
import time
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

Loop = Callable[[bytes, int], np.ndarray]
"""Converts the central square of a file to (size, size, 3) uint8 CIELAB, encoded as by `color.lab_to_uint8`."""


def with_skimage(data: bytes, size: int) -> np.ndarray:
    """Convert with scikit-image, except for decoding."""
    from skimage import transform

    rgb = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    side = min(rgb.shape[:2])
    top, left = ((length - side) // 2 for length in rgb.shape[:2])
    square = rgb[top : top + side, left : left + side]
    return _to_uint8_lab(transform.resize(square, (size, size), order=3, anti_aliasing=True))


def with_pillow(data: bytes, size: int) -> np.ndarray:
    """Resize with Pillow, on 8 bits and antialiased too: the faster of the two ways of tutorials."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return _to_uint8_lab(np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box)))


def _to_uint8_lab(rgb: np.ndarray) -> np.ndarray:
    from skimage import color

    return (color.rgb2lab(rgb) * (2.55, 1, 1) + (0, 128, 128)).round().clip(0, 255).astype(np.uint8)


LOOPS: dict[str, Loop] = {"scikit-image": with_skimage, "scikit-image, Pillow resizing": with_pillow}


def loop_milliseconds(loop: Loop, photographs: Sequence[bytes], size: int) -> float:
    """Return CPU milliseconds per photograph, after one warm-up photograph; results are saved in one array."""
    loop(photographs[0], size)
    start = time.process_time()
    np.save(io.BytesIO(), np.stack([loop(data, size) for data in photographs]))
    return (time.process_time() - start) / len(photographs) * 1000
