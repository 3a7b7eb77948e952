"""Small copies of photographs for pages."""

import io
import threading

import numpy as np
from PIL import Image, ImageOps

from colorize_core.photo.decode import PhotoError, decode, open_image
from colorize_core.photo.profiles import to_srgb

_QUALITY = 82
_LARGE = 20_000_000  # pixels; of such only one is decoded at a time, since each takes a large part of a gigabyte
_one_large = threading.Lock()


def thumbnail(data: bytes, side: int) -> bytes:
    """A photograph as a JPEG whose longer side is at most `side` pixels, upright, in sRGB, without metadata.

    Raises:
        PhotoError: it cannot be decoded.
    """
    image = open_image(data)
    if image.format == "JPEG" and image.mode in ("L", "RGB"):
        return _jpeg(_reduced(image, side), side)
    if image.width * image.height < _LARGE:
        return _jpeg(Image.fromarray(decode(data).rgb()), side)
    with _one_large:
        return _jpeg(Image.fromarray(decode(data).rgb()), side)


def picture(rgb: np.ndarray) -> bytes:
    """Pixels (3, H, W) uint8 sRGB as a PNG, exactly: its colors are what is judged."""
    sink = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb.transpose(1, 2, 0))).save(sink, "PNG", compress_level=6)
    return sink.getvalue()


def _reduced(image: Image.Image, side: int) -> Image.Image:
    """A JPEG decoded at about twice the wanted size, which is many times faster than at its own."""
    image.draft(None, (2 * side, 2 * side))
    try:
        image.load()
    except Exception as error:  # Pillow's plugins raise almost anything on damaged data
        raise PhotoError("truncated", str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    return to_srgb(ImageOps.exif_transpose(image), [])


def _jpeg(image: Image.Image, side: int) -> bytes:
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=_QUALITY, optimize=True)
    return sink.getvalue()
