"""Reading of PNG and TIFF files with several 16-bit channels, which Pillow would reduce to 8 bits."""

import imagecodecs
import numpy as np
from PIL import Image

_GRAY, _RGB = 1, 2  # photometric interpretations of TIFF
_WIDTH, _LENGTH, _BITS, _PHOTOMETRIC, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 256, 257, 258, 262, 338, 339
_UNSIGNED, _UNASSOCIATED, _PREMULTIPLIED = 1, 2, 1


def has_16_bit_channels(data: bytes, image: Image.Image) -> bool:
    """Return True if an opened file has several 16-bit channels in a form that `read_16_bit_channels` can decode."""
    if image.format == "PNG":
        return data[24:25] == b"\x10" and data[25] in (2, 4, 6)  # bit depth and color type in IHDR
    return image.format == "TIFF" and _is_16_bit_tiff(image)


def read_16_bit_channels(data: bytes, image: Image.Image) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Decode a file with several 16-bit channels.

    Args:
        data: the file.
        image: the same file, opened by Pillow and not loaded.

    Returns:
        Pixels (H, W) or (H, W, 3) and alpha (H, W) or None, uint16. None if the file is damaged; decoding it with
        Pillow then gives the reason.
    """
    try:
        if image.format == "PNG":
            return _split_alpha(imagecodecs.png_decode(data), (image.height, image.width), has_alpha=True)
        tags = image.tag_v2  # type: ignore[attr-defined]
        shape = (tags[_LENGTH], tags[_WIDTH])  # Pillow's own size is after orientation
        has_alpha = tags.get(_EXTRA_SAMPLES, (0,))[0] == _UNASSOCIATED
        return _split_alpha(imagecodecs.tiff_decode(data, index=0), shape, has_alpha)
    except (  # raised by the decoders for damaged files
        imagecodecs.PngError,
        imagecodecs.TiffError,
        MemoryError,
        RuntimeError,
        ValueError,
        IndexError,
    ):
        return None


def _is_16_bit_tiff(image: Image.Image) -> bool:
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits, photometric = tags.get(_BITS, ()), tags.get(_PHOTOMETRIC)
    colors = {_GRAY: 1, _RGB: 3}.get(photometric, 0)
    unsigned = set(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))) == {_UNSIGNED}
    premultiplied = tags.get(_EXTRA_SAMPLES, (0,))[0] == _PREMULTIPLIED
    return colors > 0 and 2 <= len(bits) <= colors + 1 and set(bits) == {16} and unsigned and not premultiplied


def _split_alpha(
    channels: np.ndarray, shape: tuple[int, int], has_alpha: bool
) -> tuple[np.ndarray, np.ndarray | None] | None:
    if channels.shape[1:] == shape:  # planar configuration: one plane per channel
        channels = np.moveaxis(channels, 0, -1)
    if channels.dtype != np.uint16 or channels.shape[:2] != shape or channels.ndim != 3:
        return None
    colors = 3 if channels.shape[2] >= 3 else 1
    pixels = np.ascontiguousarray(channels[..., 0] if colors == 1 else channels[..., :3])
    if not has_alpha or channels.shape[2] == colors:
        return pixels, None
    return pixels, np.ascontiguousarray(channels[..., colors])
