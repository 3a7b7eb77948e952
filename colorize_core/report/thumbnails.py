"""Thumbnails of photographs, and images encoded for pages."""

import threading
from contextlib import nullcontext

import numpy as np
from PIL import Image, ImageOps

from colorize_core.formatting import first_line
from colorize_core.photo.decode import PhotoError, decode_file, open_photo
from colorize_core.photo.formats import encode_image
from colorize_core.photo.header import Decoder
from colorize_core.photo.profiles import to_srgb
from colorize_core.status import Status

_QUALITY = 82
_LARGE = 20_000_000  # pixels; larger photographs are decoded one at a time, as each needs much of a gigabyte
_one_large = threading.Lock()


def thumbnail(data: bytes, side: int) -> bytes:
    """Return a photograph as a JPEG with a longer side of at most `side` pixels, upright, in sRGB, without metadata.

    Raises:
        PhotoError: the photograph cannot be decoded.
    """
    file = open_photo(data)
    image, header = file.header.image, file.header
    if image and header.format == "JPEG" and header.decoder is Decoder.PILLOW and image.mode in ("L", "RGB"):
        return _shrink(_decode_reduced(image, side), side)
    with _one_large if header.width * header.height >= _LARGE else nullcontext():
        return _shrink(Image.fromarray(decode_file(file).rgb()), side)


def encode_png(rgb: np.ndarray) -> bytes:
    """Encode pixels (3, H, W) uint8 sRGB as a PNG: lossless, since people judge its colors."""
    return encode_image(np.ascontiguousarray(rgb.transpose(1, 2, 0)), "PNG", compress_level=6)


def _decode_reduced(image: Image.Image, side: int) -> Image.Image:
    """Decode a JPEG at about twice the requested size, which is many times faster than at full size."""
    image.draft(None, (2 * side, 2 * side))
    try:
        image.load()
    except Exception as error:  # Pillow's plugins raise almost anything on damaged data
        raise PhotoError(Status.TRUNCATED, first_line(error)) from error
    return to_srgb(ImageOps.exif_transpose(image), [])


def _shrink(image: Image.Image, side: int) -> bytes:
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return encode_image(image, "JPEG", quality=_QUALITY, optimize=True)
