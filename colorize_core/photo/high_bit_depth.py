"""Channels of 16 bits in PNG and TIFF, of which Pillow keeps the upper 8 unless there is one channel alone."""

import imagecodecs
import numpy as np
from PIL import Image

_GRAY, _RGB = 1, 2  # photometric interpretations of TIFF
_WIDTH, _LENGTH, _BITS, _PHOTOMETRIC, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 256, 257, 258, 262, 338, 339
_UNSIGNED, _UNASSOCIATED, _PREMULTIPLIED = 1, 2, 1


def read_16_bit_channels(data: bytes, image: Image.Image) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Pixels and alpha of a file with several channels of 16 bits.

    Args:
        data: the file.
        image: the same, opened by Pillow and not loaded.

    Returns:
        Pixels (H, W) or (H, W, 3) and alpha (H, W) or None, uint16; None where the file is not of this kind, or is
        damaged: Pillow then tells.
    """
    try:
        if not has_16_bit_channels(data, image):
            return None
        if image.format == "PNG":
            return _split(imagecodecs.png_decode(data), (image.height, image.width), has_alpha=True)
        tags = image.tag_v2  # type: ignore[attr-defined]
        stored = (tags[_LENGTH], tags[_WIDTH])  # Pillow's own size is after orientation
        has_alpha = tags.get(_EXTRA_SAMPLES, (0,))[0] == _UNASSOCIATED
        return _split(imagecodecs.tiff_decode(data, index=0), stored, has_alpha)
    except (  # what damage makes of the decoders; Pillow, asked next, names it
        imagecodecs.PngError,
        imagecodecs.TiffError,
        MemoryError,
        RuntimeError,
        ValueError,
        IndexError,
    ):
        return None


def has_16_bit_channels(data: bytes, image: Image.Image) -> bool:
    """Whether an opened file has several channels of 16 bits that `read_16_bit_channels` knows."""
    if image.format == "PNG":
        return data[24:25] == b"\x10" and data[25] in (2, 4, 6)  # depth and color type in the header
    return image.format == "TIFF" and _is_16_bit_tiff(image)


def _is_16_bit_tiff(image: Image.Image) -> bool:
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits, photometric = tags.get(_BITS, ()), tags.get(_PHOTOMETRIC)
    colors = {_GRAY: 1, _RGB: 3}.get(photometric, 0)
    unsigned = set(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))) == {_UNSIGNED}
    premultiplied = tags.get(_EXTRA_SAMPLES, (0,))[0] == _PREMULTIPLIED
    return colors > 0 and 2 <= len(bits) <= colors + 1 and set(bits) == {16} and unsigned and not premultiplied


def _split(
    channels: np.ndarray, shape: tuple[int, int], has_alpha: bool
) -> tuple[np.ndarray, np.ndarray | None] | None:
    if channels.shape[1:] == shape:  # planes one after the other
        channels = np.moveaxis(channels, 0, -1)
    if channels.dtype != np.uint16 or channels.shape[:2] != shape or channels.ndim != 3:
        return None
    colors = 3 if channels.shape[2] >= 3 else 1
    pixels = np.ascontiguousarray(channels[..., :colors].squeeze(-1) if colors == 1 else channels[..., :3])
    if not has_alpha or channels.shape[2] == colors:
        return pixels, None
    return pixels, np.ascontiguousarray(channels[..., colors])
