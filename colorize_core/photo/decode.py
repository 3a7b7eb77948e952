"""Photographs as bytes and as pixels: decoding, orientation, color profile, depth, alpha."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from colorize_core.errors import UserError
from colorize_core.photo.depth import to_depth
from colorize_core.photo.high_bit_depth import read_16_bit_channels
from colorize_core.photo.metadata import read_dpi, read_exif, read_orientation, read_xmp
from colorize_core.photo.profiles import high_bit_depth_to_srgb, to_srgb

# The size of a photograph is checked below, before its pixels are decoded, against a limit of the caller's;
# Pillow's own fixed limit would refuse gigapixel scans that were asked for.
Image.MAX_IMAGE_PIXELS = None
Image.init()  # so that every plugin named below is known to Image.open

MAX_PIXELS = 200_000_000
"""Default limit on width x height."""
GRAY_CHROMA = 4.0
"""Below this mean chroma a photograph counts as gray: too little color to learn from, or to keep."""

# Formats Pillow may try. Restricting them keeps PostScript and other interpreters away from untrusted bytes.
_READ_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000", "PPM")
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"GIF8", b"BM", b"\0\0\0\x0cjP")

# What Pillow's image modes call alpha; the A of LAB is a color.
_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
# Multi-page and animated formats, whose pages are counted.
_PAGED_FORMATS = ("TIFF", "GIF", "WEBP", "PNG", "MPO")
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),  # clockwise
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored),
}
"""What makes a picture upright, by EXIF orientation."""


class PhotoError(UserError):
    """Bytes that cannot be used as a photograph; `status` is the archive's word for why."""

    def __init__(self, status: str, message: str) -> None:
        """Keep the status (empty, not_an_image, truncated, too_large, unsupported) beside the message."""
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Photo:
    """A decoded photograph, upright and in sRGB."""

    pixels: np.ndarray
    """(H, W) when gray, (H, W, 3) when in color; uint8 or uint16."""
    alpha: np.ndarray | None
    """(H, W) uint8 or uint16, or None."""
    format: str
    """Pillow's name of the source format."""
    exif: bytes | None = None
    """Descriptive EXIF without the orientation, which is already applied."""
    dpi: tuple[float, float] | None = None
    xmp: bytes | None = None
    """The XMP packet, as it was found."""
    notes: list[str] = field(default_factory=list)
    """What was simplified while decoding, for the record."""

    @property
    def height(self) -> int:
        """Rows after orientation."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Columns after orientation."""
        return self.pixels.shape[1]

    @property
    def bit_depth(self) -> int:
        """Bits per channel: 8 or 16."""
        return self.pixels.dtype.itemsize * 8

    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8, whatever the source was."""
        pixels = to_depth(self.pixels, 8)
        return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decode a photograph of any common format.

    Orientation is applied, an embedded profile is converted to sRGB, palettes and CMYK become RGB, of several pages
    or frames the first is taken, 16 bits stay 16 bits in gray, and in color in PNG and TIFF.

    Raises:
        PhotoError: with status empty, not_an_image, truncated, too_large or unsupported.
    """
    image = open_image(data, max_pixels)
    source_format = image.format or ""
    notes: list[str] = []
    try:
        wide = read_16_bit_channels(data, image)
        if wide is None:
            image.load()
    except MemoryError:
        raise
    except Exception as error:  # Pillow's plugins raise almost anything on damaged data
        raise PhotoError(*_classify(error)) from error
    if source_format in _PAGED_FORMATS and (pages := _count_pages(data)) > 1:
        notes.append(f"first of {pages} pages or frames")
    exif, dpi, packet, orientation = (
        read_exif(image, notes),
        read_dpi(image),
        read_xmp(image, notes),
        read_orientation(image),
    )
    if wide is None:
        pixels, alpha = _pixels(image, notes)
    else:
        pixels, alpha = high_bit_depth_to_srgb(wide[0], image.info.get("icc_profile"), notes), _seen(wide[1])
    pixels = _without_equal_channels(pixels)
    if orientation in _UPRIGHT:
        pixels, alpha = _turn(pixels, orientation), (None if alpha is None else _turn(alpha, orientation))
    return Photo(np.ascontiguousarray(pixels), alpha, source_format, exif, dpi, packet, notes)


def open_image(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Open a photograph without decoding its pixels; raises PhotoError as `decode` does."""
    if not data:
        raise PhotoError("empty", "the file is empty")
    image = _open(data)
    if image.width * image.height > max_pixels:
        raise PhotoError("too_large", f"{image.width}x{image.height} pixels are more than the limit of {max_pixels}")
    return image


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    return np.ascontiguousarray(_UPRIGHT[orientation](pixels))


def _count_pages(data: bytes) -> int:
    """Number of pages or frames; 1 where damage to a later one keeps Pillow from counting."""
    try:
        return getattr(_open(data), "n_frames", 1)
    except Exception:
        return 1


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=_READ_FORMATS)
    except UnidentifiedImageError as error:
        if data.startswith(_SIGNATURES) or (data[:4], data[8:12]) == (b"RIFF", b"WEBP"):
            raise PhotoError("truncated", "the file ends, or is damaged, within its header") from error
        raise PhotoError("not_an_image", "the bytes are not of a known image format") from error
    except Exception as error:
        raise PhotoError(*_classify(error)) from error


def _classify(error: Exception) -> tuple[str, str]:
    message = (str(error).splitlines() or [type(error).__name__])[0]
    unsupported = isinstance(error, NotImplementedError) or "unsupported" in message.lower()
    unsupported = unsupported or "not available" in message or "cannot handle" in message.lower()
    return ("unsupported" if unsupported else "truncated"), message[:200]


def _pixels(image: Image.Image, notes: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels in sRGB (gray kept gray) and alpha."""
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint16)
        if getattr(image, "tag_v2", {}).get(ExifTags.Base.PhotometricInterpretation) == 0:
            values = 65535 - values  # zero is white; Pillow inverts 8 bits, not 16
        return high_bit_depth_to_srgb(values, image.info.get("icc_profile"), notes), None
    if image.mode in ("I", "F"):
        return _integer_gray(np.asarray(image)), None
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode == "1":
        image = image.convert("L")
    elif "transparency" in image.info:
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    alpha = None
    if image.mode in _ALPHA_MODES:
        alpha = _seen(np.asarray(image.getchannel("A")))
        image = _drop_alpha(image)
    return np.asarray(to_srgb(image, notes)), alpha


def _seen(alpha: np.ndarray | None) -> np.ndarray | None:
    """Alpha where some of it is not opaque."""
    return None if alpha is None or alpha.min() == np.iinfo(alpha.dtype).max else alpha


def _without_equal_channels(pixels: np.ndarray) -> np.ndarray:
    """(H, W) of RGB that is gray throughout."""
    if pixels.ndim == 3 and all(np.array_equal(pixels[..., 0], pixels[..., other]) for other in (1, 2)):
        return pixels[..., 0]
    return pixels


def _integer_gray(values: np.ndarray) -> np.ndarray:
    """32-bit integer gray that holds 16-bit values, as some TIFF and PNG files are read; others have no known range."""
    if values.dtype.kind == "i" and values.min() >= 0 and values.max() <= 65535:
        return values.astype(np.uint16)
    raise PhotoError("unsupported", f"32-bit {'integer' if values.dtype.kind == 'i' else 'float'} pixels have no range")


def _drop_alpha(image: Image.Image) -> Image.Image:
    if image.mode in ("La", "RGBa"):
        image = image.convert(f"{image.mode[:-1]}A")
    return image.convert("L" if image.mode == "LA" else "RGB")
