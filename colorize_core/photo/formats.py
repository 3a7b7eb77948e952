"""File formats that are read and written, and the names of outputs."""

import os
from pathlib import PurePosixPath

WRITE_FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "tiff": "TIFF"}
"""Our names of the formats that can be written, and Pillow's."""
_FORMAT_OF_SUFFIX = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp", ".tif": "tiff", ".tiff": "tiff"}
_APPENDED = ".color"
_NEW_SUFFIX = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tiff"}
IMAGE_SUFFIXES = (*_FORMAT_OF_SUFFIX, ".gif", ".bmp", ".jp2", ".pgm", ".ppm")
"""File name endings of photographs that can be read."""


def output_format(key: str, policy: str) -> str:
    """Format to write for an input key: the policy, or for "same" the one its suffix names (PNG if none can)."""
    if policy != "same":
        return policy
    return _FORMAT_OF_SUFFIX.get(PurePosixPath(key).suffix.lower(), "png")


def output_key(key: str, policy: str) -> str:
    """Key of the color image, different for different input keys.

    The input's own key where its suffix names the written format, else with `.color` and the format's suffix appended:
    `a.png` stays, `a.gif` becomes `a.gif.color.png`. A key that looks appended to already gets another one, so that no
    two inputs ever share an output.
    """
    format = output_format(key, policy)
    stem, suffix = os.path.splitext(key)
    if _FORMAT_OF_SUFFIX.get(suffix.lower()) == format and not stem.endswith(_APPENDED):
        return key
    return f"{key}{_APPENDED}{_NEW_SUFFIX[format]}"
