"""Sample photographs: those that scikit-image and matplotlib ship, whole or as random windows."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from colorize_core.photo.formats import encode_image

NAMES = ("astronaut", "chelsea", "coffee", "rocket")
"""The color photographs in `skimage.data`."""
WIDTH, HEIGHT = 640, 480
_MIN_WINDOW = 0.6  # of the largest window of that aspect ratio
_QUALITY = 90


def whole_photographs() -> dict[str, np.ndarray]:
    """Return color photographs as they are, (H, W, 3) uint8, by name: those of `NAMES` and a portrait."""
    from matplotlib import cbook
    from skimage import data

    portrait = Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
    return {name: getattr(data, name)() for name in NAMES} | {"grace_hopper": np.asarray(portrait)}


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
