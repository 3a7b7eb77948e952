"""Photographs of 640x480 to measure with, cut out of those that scikit-image ships."""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 640, 480
DISTINCT = 64
_PICTURES = ("astronaut", "chelsea", "coffee", "rocket")
_SMALLEST_WINDOW = 0.6  # of the largest one of that shape
_QUALITY = 90


def sample_photographs(count: int, *, gray: bool) -> Iterator[bytes]:
    """JPEG files, the same at every call: windows of different places and sizes, mirrored or not."""
    from skimage import data

    random = np.random.default_rng(0)
    pictures = [Image.fromarray(getattr(data, name)()) for name in _PICTURES]
    for number in range(count):
        picture = pictures[number % len(pictures)]
        largest = min(picture.width / WIDTH, picture.height / HEIGHT)
        scale = largest * random.uniform(_SMALLEST_WINDOW, 1)
        width, height = WIDTH * scale, HEIGHT * scale
        left, top = random.uniform(0, picture.width - width), random.uniform(0, picture.height - height)
        box = (left, top, left + width, top + height)
        window = picture.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=box)
        if random.random() < 0.5:
            window = window.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        sink = io.BytesIO()
        (window.convert("L") if gray else window).save(sink, "JPEG", quality=_QUALITY)
        yield sink.getvalue()
