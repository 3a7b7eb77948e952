"""Sample photographs: random windows of the color photographs that scikit-image ships."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from colorize_core.photo.formats import encode_image

NAMES = ("astronaut", "chelsea", "coffee", "rocket")
"""The color photographs in `skimage.data`."""
WIDTH, HEIGHT = 640, 480
_MIN_WINDOW = 0.6  # of the largest window of that aspect ratio
_QUALITY = 90


def sample_photographs(count: int, *, gray: bool, width: int = WIDTH, height: int = HEIGHT) -> Iterator[bytes]:
    """Yield JPEG files, the same ones in every call: windows of random position and size, randomly mirrored.

    Args:
        count: number of photographs.
        gray: encode grayscale instead of color.
        width: in pixels.
        height: in pixels.
    """
    from skimage import data

    random = np.random.default_rng(0)
    originals = [Image.fromarray(getattr(data, name)()) for name in NAMES]
    for number in range(count):
        original = originals[number % len(originals)]
        scale = min(original.width / width, original.height / height) * random.uniform(_MIN_WINDOW, 1)
        left = random.uniform(0, original.width - width * scale)
        top = random.uniform(0, original.height - height * scale)
        box = (left, top, left + width * scale, top + height * scale)
        window = original.resize((width, height), Image.Resampling.BICUBIC, box=box)
        if random.random() < 0.5:
            window = window.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        yield encode_image(window.convert("L") if gray else window, "JPEG", quality=_QUALITY)
