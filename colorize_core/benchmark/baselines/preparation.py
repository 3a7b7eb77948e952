"""Photographs to training data as the tutorials do it, to compare with: one picture at a time, float64."""

import io
import time
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

Loop = Callable[[bytes, int], np.ndarray]
"""A file to (size, size, 3) uint8 in the 8-bit convention of CIELAB (`color.lab_to_uint8`), its central square."""


def with_skimage(data: bytes, size: int) -> np.ndarray:
    """scikit-image for everything but decoding."""
    from skimage import transform

    picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    side = min(picture.shape[:2])
    top, left = ((length - side) // 2 for length in picture.shape[:2])
    square = picture[top : top + side, left : left + side]
    return _to_levels(transform.resize(square, (size, size), order=3, anti_aliasing=True))


def with_pillow(data: bytes, size: int) -> np.ndarray:
    """Pillow resizes, on 8 bits and antialiased as well: the quicker half of the tutorials."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return _to_levels(np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box)))


def _to_levels(rgb: np.ndarray) -> np.ndarray:
    from skimage import color

    lab = color.rgb2lab(rgb)
    return (lab * (2.55, 1, 1) + (0, 128, 128)).round().clip(0, 255).astype(np.uint8)


LOOPS: dict[str, Loop] = {"scikit-image": with_skimage, "scikit-image, Pillow resizing": with_pillow}


def run(loop: Loop, photographs: Sequence[bytes], size: int) -> float:
    """Core ms for each photograph, after one that is not counted; what is made is kept in one file."""
    loop(photographs[0], size)
    start = time.process_time()
    made = [loop(data, size) for data in photographs]
    np.save(io.BytesIO(), np.stack(made))
    return (time.process_time() - start) / len(photographs) * 1000
