"""File formats that can be read and written, and names of output files."""

import io
import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

WRITE_FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "tiff": "TIFF"}
"""Formats that can be written, with Pillow's names."""
_FORMAT_OF_SUFFIX = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "jpeg"),
    ".png": "png",
    ".webp": "webp",
    **dict.fromkeys((".tif", ".tiff"), "tiff"),
}
_APPENDED = ".color"
_NEW_SUFFIX = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tiff"}
IMAGE_SUFFIXES = (*_FORMAT_OF_SUFFIX, ".gif", ".bmp", ".jp2", ".j2k", ".jpx", ".pgm", ".ppm", ".avif")
"""File name suffixes of photographs that can be read."""


def output_format(key: str, policy: str) -> str:
    """Return the format to write for a key: the policy, or for "same" that of its suffix (PNG if there is none)."""
    if policy != "same":
        return policy
    return _FORMAT_OF_SUFFIX.get(PurePosixPath(key).suffix.lower(), "png")


def media_type(key: str) -> str:
    """Return the media type of a photograph or color image, such as image/jpeg, by its suffix."""
    suffix = PurePosixPath(key).suffix.lower()
    return f"image/{_FORMAT_OF_SUFFIX.get(suffix, suffix[1:])}"


def output_key(key: str, policy: str) -> str:
    """Return the key of the color image, which is unique for each input key.

    A key whose suffix names the written format is kept; otherwise `.color` and the suffix of the format are appended:
    `a.png` stays, `a.gif` becomes `a.gif.color.png`. A key that already ends in such a suffix is extended again, so
    that two inputs never share an output.
    """
    format = output_format(key, policy)
    stem, suffix = os.path.splitext(key)
    if _FORMAT_OF_SUFFIX.get(suffix.lower()) == format and not stem.endswith(_APPENDED):
        return key
    return f"{key}{_APPENDED}{_NEW_SUFFIX[format]}"


def encode_image(image: "Image.Image | np.ndarray", format: str, **options: object) -> bytes:
    """Encode an image, or pixels (H, W) or (H, W, 3) uint8, by Pillow; `options` are those of `Image.save`."""
    from PIL import Image  # listing and planning need the names above only

    sink = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(sink, format, **options)
    return sink.getvalue()
