"""Decoding of photographs: pixels in sRGB, orientation, depth, alpha, metadata."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, UnidentifiedImageError

from colorize_core.errors import UserError
from colorize_core.formatting import first_line
from colorize_core.photo.header import Decoder, Header, read_header
from colorize_core.photo.jpeg import END_OF_IMAGE, lacks_only_its_end
from colorize_core.photo.metadata import Captions, read_captions, read_dpi, read_exif, read_orientation, read_xmp
from colorize_core.photo.options import MAX_PIXELS
from colorize_core.photo.profiles import describe_png_colors, high_bit_depth_to_srgb, to_srgb
from colorize_core.photo.samples import (
    Samples,
    UnsupportedSamplesError,
    read_jpeg,
    read_jpeg_2000,
    read_png,
    read_tiff,
    to_depth,
)
from colorize_core.status import Status

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"GIF8", b"BM", b"\0\0\0\x0cjP")
_KNOWN_FORMATS = {  # by the bytes at a position, for a message that says what the file is
    (4, b"ftyphei"): "HEIC",
    (4, b"ftypmif1"): "HEIF",
    (0, b"\xff\x0a"): "JPEG XL",
    (0, b"\0\0\0\x0cJXL "): "JPEG XL",
    (0, b"8BPS"): "Photoshop (PSD)",
}

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
_FIRST_QUARTER_TURN = 5  # orientations from this one on swap width and height


INCOMPLETE = "the file ends early: a part of the picture is missing"
"""Note of a photograph that was decoded although it is incomplete."""


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
    header: Header
    sidecar: bytes | None = None
    """XMP packet from a file beside it."""


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
    captions: Captions = field(default_factory=Captions)
    """Texts outside EXIF and XMP."""
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


def open_photo(data: bytes, max_pixels: int = MAX_PIXELS, sidecar: bytes | None = None) -> PhotoFile:
    """Read the header of a photograph.

    Args:
        data: the file.
        max_pixels: maximum width x height.
        sidecar: XMP packet of a file beside it, whose properties count before those in the photograph.

    Raises:
        PhotoError: with status EMPTY, NOT_AN_IMAGE, TRUNCATED, TOO_LARGE or UNSUPPORTED.
    """
    if not data:
        raise PhotoError(Status.EMPTY, "the file is empty")
    try:
        header = read_header(data)
    except UnidentifiedImageError as error:
        if data.startswith(_SIGNATURES) or (data[:4], data[8:12]) == (b"RIFF", b"WEBP"):
            raise PhotoError(Status.TRUNCATED, "the header is incomplete or damaged") from error
        for (position, signature), name in _KNOWN_FORMATS.items():
            if data.startswith(signature, position):
                raise PhotoError(Status.UNSUPPORTED, f"{name} cannot be read") from error
        raise PhotoError(Status.NOT_AN_IMAGE, "the bytes are not in a known image format") from error
    except Exception as error:
        raise PhotoError(*_classify(error)) from error
    if header.width * header.height > max_pixels:
        message = f"{header.width}x{header.height} pixels are more than the limit of {max_pixels}"
        raise PhotoError(Status.TOO_LARGE, message)
    return PhotoFile(data, header, sidecar)


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decode a photograph of any common format; see `open_photo` and `decode_file`.

    Raises:
        PhotoError: with status EMPTY, NOT_AN_IMAGE, TRUNCATED, TOO_LARGE or UNSUPPORTED.
    """
    return decode_file(open_photo(data, max_pixels))


def decode_file(file: PhotoFile, *, allow_incomplete: bool = False) -> Photo:
    """Decode an opened photograph; each file can be decoded once.

    Orientation is applied. An embedded profile is converted to sRGB, palettes and CMYK become RGB. The first frame is
    used, and of a TIFF the page that the header names. More than 8 bits per channel become 16, except in CMYK.

    Args:
        file: the photograph.
        allow_incomplete: decode what there is of a JPEG of 8 bits that ends early, and note it. Other formats must be
            complete in any case.

    Raises:
        PhotoError: with status TRUNCATED or UNSUPPORTED.
    """
    header = file.header
    notes = list(header.notes)
    try:
        samples = _read_samples(file)
        if samples is None:
            image = _load(file, notes, allow_incomplete=allow_incomplete)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise almost any exception for damaged data
        raise PhotoError(*_classify(error)) from error
    if (pages := _count_pages(file)) > 1:
        notes.append(f"first of {pages} pages or frames")
    source = header.metadata
    exif, dpi, packet = read_exif(source, notes), read_dpi(source), read_xmp(source, notes, file.sidecar)
    captions, orientation = read_captions(source, notes), read_orientation(source)
    if samples is None:
        pixels, alpha = _pixels(image, notes)
    else:
        pixels, alpha = _convert(samples, source.info.get("icc_profile"), notes), _drop_opaque(samples.alpha)
    if header.format == "PNG" and (profile := describe_png_colors(source.info, gray=pixels.ndim == 2)):
        bits = pixels.itemsize * 8
        pixels = to_depth(high_bit_depth_to_srgb(to_depth(pixels, 16), profile, notes), bits)
    if orientation >= _FIRST_QUARTER_TURN and dpi:
        dpi = dpi[::-1]
    turned_by_pillow = header.format == "TIFF" and samples is None
    turn = _UPRIGHT.get(1 if turned_by_pillow else orientation, lambda stored: stored)
    pixels = np.ascontiguousarray(turn(_drop_equal_channels(pixels)))
    alpha = None if alpha is None else np.ascontiguousarray(turn(alpha))
    return Photo(pixels, alpha, header.format, exif, dpi, packet, captions, notes)


def _read_samples(file: PhotoFile) -> Samples | None:
    """Decode with the library that the header names; None if that is Pillow."""
    data, header = file.data, file.header
    match header.decoder:
        case Decoder.LIBPNG:
            return read_png(data)
        case Decoder.LIBJPEG:
            return read_jpeg(data, header.bits)
        case Decoder.OPENJPEG:
            return read_jpeg_2000(data, header.bits)
        case Decoder.TIFFFILE:
            return read_tiff(data, header.offset)
    return None


def _load(file: PhotoFile, notes: list[str], *, allow_incomplete: bool) -> Image.Image:
    """Load an image with Pillow; of a JPEG, the end marker may be missing, and more if that is allowed."""
    image = file.header.image
    assert image is not None
    try:
        image.load()
    except OSError:
        if image.format != "JPEG":
            raise
        is_whole = lacks_only_its_end(file.data)
        if not is_whole and not allow_incomplete:
            raise
        image = Image.open(io.BytesIO(file.data + END_OF_IMAGE))
        image.load()
        notes.append("the end marker of the JPEG is missing" if is_whole else INCOMPLETE)
    return image


def _count_pages(file: PhotoFile) -> int:
    """Return the number of frames; 1 if a damaged later frame prevents counting, and for TIFF, whose header counts.

    Counting moves Pillow to other frames. They are therefore counted in a second image, which is opened only if the
    header announces several frames. GIF does not announce them.
    """
    image = file.header.image
    if image is None or image.format == "TIFF" or (image.format != "GIF" and not getattr(image, "is_animated", False)):
        return 1
    try:
        return getattr(Image.open(io.BytesIO(file.data), formats=[file.header.format]), "n_frames", 1)
    except Exception:  # as above
        return 1


def _classify(error: Exception) -> tuple[Status, str]:
    message = first_line(error)
    unsupported = isinstance(error, NotImplementedError | UnsupportedSamplesError) or any(
        words in message.lower() for words in ("unsupported", "not available", "cannot handle")
    )
    return (Status.UNSUPPORTED if unsupported else Status.TRUNCATED), message


def _convert(samples: Samples, profile: bytes | None, notes: list[str]) -> np.ndarray:
    """Return samples as gray or sRGB."""
    if samples.note:
        notes.append(samples.note)
    colors = samples.colors
    if colors.dtype == np.uint16:
        return high_bit_depth_to_srgb(colors, profile, notes)
    if colors.shape[2:] == (4,):
        image = Image.merge("CMYK", [Image.fromarray(np.ascontiguousarray(colors[..., ink])) for ink in range(4)])
    else:
        image = Image.fromarray(colors)
    if profile:
        image.info["icc_profile"] = profile
    return np.asarray(to_srgb(image, notes))


def _pixels(image: Image.Image, notes: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Return pixels in sRGB (gray stays gray) and alpha of a loaded image."""
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint16)
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
