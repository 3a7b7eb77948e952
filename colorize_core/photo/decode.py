"""Decoding of photographs: pixels in sRGB, orientation, depth, alpha, metadata."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from colorize_core.errors import UserError
from colorize_core.formatting import first_line
from colorize_core.photo.depth import to_depth
from colorize_core.photo.high_bit_depth import has_16_bit_channels, read_16_bit_channels
from colorize_core.photo.metadata import read_dpi, read_exif, read_orientation, read_xmp
from colorize_core.photo.options import MAX_PIXELS
from colorize_core.photo.profiles import high_bit_depth_to_srgb, to_srgb
from colorize_core.status import Status

# `open_photo` checks the size before pixels are decoded, against a limit of the caller. Pillow's fixed limit would
# also refuse gigapixel scans that the caller allows.
Image.MAX_IMAGE_PIXELS = None
Image.init()  # registers all plugins, so that Image.open knows the formats below

# Restricting the formats keeps PostScript and other interpreters away from untrusted bytes.
_READ_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000", "PPM")
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"GIF8", b"BM", b"\0\0\0\x0cjP")

_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")  # Pillow's modes with alpha; the A of LAB is a color
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),  # clockwise
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored),
}
"""Transformation to upright pixels, by EXIF orientation."""


class PhotoError(UserError):
    """Bytes that cannot be used as a photograph."""

    def __init__(self, status: Status, message: str) -> None:
        """Keep the status (EMPTY, NOT_AN_IMAGE, TRUNCATED, TOO_LARGE or UNSUPPORTED) with the message."""
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class PhotoFile:
    """An encoded photograph whose header has been read."""

    data: bytes
    image: Image.Image
    """Opened by Pillow, not loaded."""
    has_16_bit_channels: bool
    """True if it has several channels of 16 bits (`high_bit_depth`), which Pillow's mode does not show."""


@dataclass(frozen=True)
class Photo:
    """A decoded photograph, upright and in sRGB."""

    pixels: np.ndarray
    """(H, W) gray or (H, W, 3) sRGB; uint8 or uint16."""
    alpha: np.ndarray | None
    """(H, W) uint8 or uint16; None if the photograph is opaque."""
    format: str
    """Pillow's name of the source format."""
    exif: bytes | None = None
    """Descriptive EXIF without the orientation, which is already applied."""
    dpi: tuple[float, float] | None = None
    """Horizontal and vertical resolution in dots per inch."""
    xmp: bytes | None = None
    """XMP packet as stored in the file."""
    notes: list[str] = field(default_factory=list)
    """Simplifications made while decoding, for the column `note`."""

    @property
    def height(self) -> int:
        """Number of rows of the upright photograph."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Number of columns of the upright photograph."""
        return self.pixels.shape[1]

    @property
    def bit_depth(self) -> int:
        """Bits per channel: 8 or 16."""
        return self.pixels.dtype.itemsize * 8

    def rgb(self) -> np.ndarray:
        """Return the pixels as (H, W, 3) uint8."""
        pixels = to_depth(self.pixels, 8)
        return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def open_photo(data: bytes, max_pixels: int = MAX_PIXELS) -> PhotoFile:
    """Read the header of a photograph.

    Raises:
        PhotoError: with status EMPTY, NOT_AN_IMAGE, TRUNCATED, TOO_LARGE or UNSUPPORTED.
    """
    if not data:
        raise PhotoError(Status.EMPTY, "the file is empty")
    try:
        image = _open_image(data)
        file = PhotoFile(data, image, has_16_bit_channels(data, image))
    except UnidentifiedImageError as error:
        if data.startswith(_SIGNATURES) or (data[:4], data[8:12]) == (b"RIFF", b"WEBP"):
            raise PhotoError(Status.TRUNCATED, "the header is incomplete or damaged") from error
        raise PhotoError(Status.NOT_AN_IMAGE, "the bytes are not in a known image format") from error
    except Exception as error:
        raise PhotoError(*_classify(error)) from error
    if image.width * image.height > max_pixels:
        message = f"{image.width}x{image.height} pixels are more than the limit of {max_pixels}"
        raise PhotoError(Status.TOO_LARGE, message)
    return file


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decode a photograph of any common format; see `open_photo` and `decode_file`.

    Raises:
        PhotoError: with status EMPTY, NOT_AN_IMAGE, TRUNCATED, TOO_LARGE or UNSUPPORTED.
    """
    return decode_file(open_photo(data, max_pixels))


def decode_file(file: PhotoFile) -> Photo:
    """Decode an opened photograph; each file can be decoded once.

    Orientation is applied. An embedded profile is converted to sRGB, palettes and CMYK become RGB. The first of several
    pages or frames is used. 16 bits are kept in gray, and in color in PNG and TIFF.

    Raises:
        PhotoError: with status TRUNCATED or UNSUPPORTED.
    """
    image = file.image
    source_format = image.format or ""
    notes: list[str] = []
    try:
        channels = read_16_bit_channels(file.data, image) if file.has_16_bit_channels else None
        if channels is None:
            image.load()
    except MemoryError:
        raise
    except Exception as error:  # Pillow's plugins raise almost any exception for damaged data
        raise PhotoError(*_classify(error)) from error
    if (pages := _count_pages(file)) > 1:
        notes.append(f"first of {pages} pages or frames")
    exif, dpi, packet, orientation = (
        read_exif(image, notes),
        read_dpi(image),
        read_xmp(image, notes),
        read_orientation(image),
    )
    if channels is None:
        pixels, alpha = _pixels(image, notes)
    else:
        pixels = high_bit_depth_to_srgb(channels[0], image.info.get("icc_profile"), notes)
        alpha = _drop_opaque(channels[1])
    turn = _UPRIGHT.get(orientation, lambda stored: stored)
    pixels = np.ascontiguousarray(turn(_drop_equal_channels(pixels)))
    alpha = None if alpha is None else np.ascontiguousarray(turn(alpha))
    return Photo(pixels, alpha, source_format, exif, dpi, packet, notes)


def _count_pages(file: PhotoFile) -> int:
    """Return the number of pages or frames; 1 if a damaged later page prevents counting.

    Counting moves Pillow to other pages, which mixes their metadata into that of the first one. The pages are therefore
    counted in a second image, which is opened only if the header announces several pages. GIF does not announce them.
    """
    if file.image.format != "GIF" and not getattr(file.image, "is_animated", False):
        return 1
    try:
        return getattr(_open_image(file.data), "n_frames", 1)
    except Exception:  # as above
        return 1


def _open_image(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=_READ_FORMATS)


def _classify(error: Exception) -> tuple[Status, str]:
    message = first_line(error)
    unsupported = isinstance(error, NotImplementedError) or any(
        words in message.lower() for words in ("unsupported", "not available", "cannot handle")
    )
    return (Status.UNSUPPORTED if unsupported else Status.TRUNCATED), message


def _pixels(image: Image.Image, notes: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Return pixels in sRGB (gray stays gray) and alpha of a loaded image."""
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint16)
        if getattr(image, "tag_v2", {}).get(ExifTags.Base.PhotometricInterpretation) == 0:
            values = 65535 - values  # WhiteIsZero: Pillow inverts 8-bit pixels, but not 16-bit ones
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
        alpha = _drop_opaque(np.asarray(image.getchannel("A")))
        image = _drop_alpha(image)
    return np.asarray(to_srgb(image, notes)), alpha


def _drop_opaque(alpha: np.ndarray | None) -> np.ndarray | None:
    """Return alpha, or None if all of it is opaque."""
    return None if alpha is None or alpha.min() == np.iinfo(alpha.dtype).max else alpha


def _drop_equal_channels(pixels: np.ndarray) -> np.ndarray:
    """Return (H, W) for RGB pixels that are all gray, other pixels unchanged."""
    if pixels.ndim == 3 and all(np.array_equal(pixels[..., 0], pixels[..., other]) for other in (1, 2)):
        return pixels[..., 0]
    return pixels


def _integer_gray(values: np.ndarray) -> np.ndarray:
    """Convert 32-bit integer gray that holds 16-bit values, as Pillow reads some TIFF and PNG files."""
    if values.dtype.kind == "i" and values.min() >= 0 and values.max() <= 65535:
        return values.astype(np.uint16)
    kind = "integer" if values.dtype.kind == "i" else "float"
    raise PhotoError(Status.UNSUPPORTED, f"32-bit {kind} pixels have no known range")


def _drop_alpha(image: Image.Image) -> Image.Image:
    if image.mode in ("La", "RGBa"):
        image = image.convert(f"{image.mode[:-1]}A")
    return image.convert("L" if image.mode == "LA" else "RGB")
