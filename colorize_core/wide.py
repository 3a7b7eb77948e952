"""Channels of 16 bits in PNG and TIFF, of which Pillow keeps the upper 8 unless there is one channel alone."""

import imagecodecs
import numpy as np
from PIL import Image

_GRAY, _RGB = 1, 2  # photometric interpretations of TIFF
_BITS, _PHOTOMETRIC, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 258, 262, 338, 339
_UNSIGNED, _UNASSOCIATED, _PREMULTIPLIED = 1, 2, 1


def read_wide(data: bytes, image: Image.Image) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Pixels and alpha of a file with several channels of 16 bits.

    Args:
        data: the file.
        image: the same, opened by Pillow and not loaded.

    Returns:
        Pixels (H, W) or (H, W, 3) and alpha (H, W) or None, uint16; None where the file is not of this kind, or is
        damaged: Pillow then tells.
    """
    try:
        if image.format == "PNG" and data[24] == 16 and data[25] in (2, 4, 6):  # depth and colour type in the header
            return _split(imagecodecs.png_decode(data), image, has_alpha=True)
        if image.format == "TIFF" and _is_wide_tiff(image):
            extra = image.tag_v2.get(_EXTRA_SAMPLES, (0,))  # type: ignore[attr-defined]
            return _split(imagecodecs.tiff_decode(data, index=0), image, has_alpha=extra[0] == _UNASSOCIATED)
    except (imagecodecs.PngError, imagecodecs.TiffError, RuntimeError, ValueError, IndexError):
        pass
    return None


def _is_wide_tiff(image: Image.Image) -> bool:
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits, photometric = tags.get(_BITS, ()), tags.get(_PHOTOMETRIC)
    colors = {_GRAY: 1, _RGB: 3}.get(photometric, 0)
    unsigned = set(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))) == {_UNSIGNED}
    premultiplied = tags.get(_EXTRA_SAMPLES, (0,))[0] == _PREMULTIPLIED
    return colors > 0 and 2 <= len(bits) <= colors + 1 and set(bits) == {16} and unsigned and not premultiplied


def _split(channels: np.ndarray, image: Image.Image, has_alpha: bool) -> tuple[np.ndarray, np.ndarray | None] | None:
    if channels.shape[1:] == (image.height, image.width):  # planes one after the other
        channels = np.moveaxis(channels, 0, -1)
    if channels.dtype != np.uint16 or channels.shape[:2] != (image.height, image.width) or channels.ndim != 3:
        return None
    colors = 3 if channels.shape[2] >= 3 else 1
    pixels = np.ascontiguousarray(channels[..., :colors].squeeze(-1) if colors == 1 else channels[..., :3])
    if not has_alpha or channels.shape[2] == colors:
        return pixels, None
    return pixels, np.ascontiguousarray(channels[..., colors])
