"""Photographs as bytes and as pixels: decoding, orientation, colour profile, depth, alpha; encoding with metadata."""

import io
import math
import os
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from colorize_core.errors import UserError

# The size of a photograph is checked below, before its pixels are decoded, against a limit of the caller's;
# Pillow's own fixed limit would refuse gigapixel scans that were asked for.
Image.MAX_IMAGE_PIXELS = None
Image.init()  # so that every plugin named below is known to Image.open

MAX_PIXELS = 200_000_000
"""Default limit on width x height."""

# Formats Pillow may try. Restricting them keeps PostScript and other interpreters away from untrusted bytes.
_READ_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000", "PPM")
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"GIF8", b"BM", b"\0\0\0\x0cjP")

# What Pillow's image modes call alpha; the A of LAB is a colour.
_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
# Multi-page and animated formats, whose pages are counted.
_PAGED_FORMATS = ("TIFF", "GIF", "WEBP", "PNG", "MPO")
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by EXIF orientation."""

_LONGEST_SIDE = {"webp": 16383, "jpeg": 65500}
"""Limits of the formats (WebP's 14 bits; libjpeg's JPEG_MAX_DIMENSION)."""
_LONGEST_JPEG_EXIF = 65533

WRITE_FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "tiff": "TIFF"}
_FORMAT_OF_SUFFIX = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp", ".tif": "tiff", ".tiff": "tiff"}
_APPENDED = ".color"
_NEW_SUFFIX = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tiff"}
IMAGE_SUFFIXES = (*_FORMAT_OF_SUFFIX, ".gif", ".bmp", ".jp2", ".pgm", ".ppm")
"""File name endings of photographs that can be read."""

# EXIF tags that describe the photograph. The others of the main directory describe the file's own layout
# (strips, compression, size) and would be wrong in the new one.
_DESCRIPTIVE_TAGS = tuple(
    tag.value
    for tag in (
        ExifTags.Base.ImageDescription,
        ExifTags.Base.Make,
        ExifTags.Base.Model,
        ExifTags.Base.Software,
        ExifTags.Base.DateTime,
        ExifTags.Base.Artist,
        ExifTags.Base.Copyright,
    )
)
_SUB_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)


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
    """(H, W) uint8 or uint16 when gray, (H, W, 3) uint8 when in colour."""
    alpha: np.ndarray | None
    """(H, W) uint8, or None."""
    format: str
    """Pillow's name of the source format."""
    exif: bytes | None = None
    """Descriptive EXIF without the orientation, which is already applied."""
    dpi: tuple[float, float] | None = None
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
        """(H, W, 3) uint8, whatever the source was; 16-bit gray is scaled to 8 bits."""
        pixels = self.pixels
        if pixels.ndim == 3:
            return pixels
        if pixels.dtype == np.uint16:
            pixels = ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
        return np.repeat(pixels[:, :, None], 3, axis=2)


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decode a photograph of any common format.

    Orientation is applied, an embedded profile is converted to sRGB, palettes and CMYK become RGB, of several pages
    or frames the first is taken, 16-bit gray stays 16-bit.

    Raises:
        PhotoError: with status empty, not_an_image, truncated, too_large or unsupported.
    """
    if not data:
        raise PhotoError("empty", "the file is empty")
    image = _open(data)
    if image.width * image.height > max_pixels:
        raise PhotoError("too_large", f"{image.width}x{image.height} pixels are more than the limit of {max_pixels}")
    source_format = image.format or ""
    try:
        image.load()
    except Exception as error:  # Pillow's plugins raise almost anything on damaged data
        raise PhotoError(*_classify(error)) from error
    notes = []
    if source_format in _PAGED_FORMATS and (pages := _count_pages(data)) > 1:
        notes.append(f"first of {pages} pages or frames")
    exif, dpi, orientation = _descriptive_exif(image), _dpi(image), _orientation(image)
    pixels, alpha = _pixels(image, notes)
    if orientation in _UPRIGHT:
        pixels, alpha = _turn(pixels, orientation), (None if alpha is None else _turn(alpha, orientation))
    return Photo(pixels, alpha, source_format, exif, dpi, notes)


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).transpose(_UPRIGHT[orientation]))


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


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 when absent or damaged."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF must not cost the photograph
        return 1
    return found if found in _UPRIGHT else 1


def _descriptive_exif(image: Image.Image) -> bytes | None:
    """EXIF that describes the photograph, without its orientation; None when absent or damaged."""
    try:
        source = image.getexif()
        kept = Image.Exif()
        for tag in _DESCRIPTIVE_TAGS:
            if tag in source:
                kept[tag] = source[tag]
        for directory in _SUB_DIRECTORIES:
            if entries := source.get_ifd(directory):
                kept.get_ifd(directory).update(entries)
        return kept.tobytes() if len(kept) else None
    except Exception:  # damaged EXIF must not cost the photograph
        return None


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    try:
        x, y = (float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if math.isfinite(x) and math.isfinite(y) and x > 0 and y > 0 else None


def _pixels(image: Image.Image, notes: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels in sRGB (gray kept gray) and alpha."""
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint16)
        zero_is_white = getattr(image, "tag_v2", {}).get(ExifTags.Base.PhotometricInterpretation) == 0
        return (65535 - values if zero_is_white else values), None  # Pillow inverts 8 bits, not 16
    if image.mode in ("I", "F"):
        return _wide_gray(np.asarray(image)), None
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode == "1":
        image = image.convert("L")
    elif "transparency" in image.info:
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    alpha = None
    if image.mode in _ALPHA_MODES:
        channel = np.asarray(image.getchannel("A"))
        alpha = channel if channel.min() < 255 else None
        image = _drop_alpha(image)
    image = _to_srgb(image, notes)
    pixels = np.asarray(image)
    if pixels.ndim == 3 and (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all():
        pixels = pixels[..., 0]
    return np.ascontiguousarray(pixels), alpha


def _wide_gray(values: np.ndarray) -> np.ndarray:
    """32-bit integer gray that holds 16-bit values, as some TIFF and PNG files are read; others have no known range."""
    if values.dtype.kind == "i" and values.min() >= 0 and values.max() <= 65535:
        return values.astype(np.uint16)
    raise PhotoError("unsupported", f"32-bit {'integer' if values.dtype.kind == 'i' else 'float'} pixels have no range")


def _drop_alpha(image: Image.Image) -> Image.Image:
    if image.mode in ("La", "RGBa"):
        image = image.convert(f"{image.mode[:-1]}A")
    return image.convert("L" if image.mode == "LA" else "RGB")


def _to_srgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """Convert to sRGB through the embedded profile where there is one that works, or by Pillow's own rule."""
    profile = image.info.get("icc_profile")
    if profile:
        try:
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "srgb" not in ImageCms.getProfileDescription(embedded).lower():
                converted = ImageCms.profileToProfile(image, embedded, ImageCms.createProfile("sRGB"), outputMode="RGB")
                return converted or image
        except (ImageCms.PyCMSError, OSError, ValueError):
            notes.append("unusable colour profile ignored")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _srgb_profile() -> bytes:
    """The sRGB profile to embed, without the time LittleCMS stamps it with: equal inputs must give equal files."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes((7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0))  # 2000-01-01
    return bytes(profile)


_SRGB_PROFILE = _srgb_profile()


def encode(rgb: np.ndarray, format: str, source: Photo | None = None, quality: int = 95) -> bytes:
    """Encode a colour photograph, tagged sRGB, with the metadata and alpha of its source.

    Args:
        rgb: (H, W, 3) uint8.
        format: one of `WRITE_FORMATS`. JPEG has no alpha: it is laid on white.
        source: the photograph whose EXIF, resolution and alpha are kept; see `left_out`.
        quality: 1 to 100 for JPEG (4:2:0) and WebP; PNG and TIFF are lossless.

    Raises:
        PhotoError: with status unsupported, when the picture is longer than the format can hold.
    """
    longest = _LONGEST_SIDE.get(format)
    if longest and max(rgb.shape[:2]) > longest:
        size = f"{rgb.shape[1]}x{rgb.shape[0]}"
        raise PhotoError(
            "unsupported", f"{size} pixels do not fit {WRITE_FORMATS[format]}, whose longest side is {longest}"
        )
    image = Image.fromarray(rgb)
    options: dict[str, object] = {"icc_profile": _SRGB_PROFILE}
    if source is not None:
        if source.alpha is not None:
            image.putalpha(Image.fromarray(source.alpha))
        if source.dpi:
            options["dpi"] = source.dpi
        if exif := _exif_for(format, source):
            options["exif"] = exif
    if format == "jpeg" and image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if format in ("jpeg", "webp"):
        options["quality"] = quality
    if format == "jpeg":
        options["subsampling"] = "4:2:0"
    if format == "tiff" and not _has_sub_directories(source):
        options["compression"] = "tiff_adobe_deflate"
    sink = io.BytesIO()
    image.save(sink, WRITE_FORMATS[format], **options)
    return sink.getvalue()


def left_out(format: str, source: Photo) -> list[str]:
    """What of the source a format cannot hold, for the record."""
    lost = []
    if format == "jpeg" and source.alpha is not None:
        lost.append("transparency laid on white")
    if source.exif and not _exif_for(format, source):
        lost.append("EXIF too long for JPEG left out")
    return lost


def _exif_for(format: str, source: Photo) -> bytes | None:
    """The EXIF to write: none where JPEG cannot hold it; for WebP with the resolution, which has no other place."""
    if format == "jpeg" and len(source.exif or b"") > _LONGEST_JPEG_EXIF:
        return None
    if format != "webp" or not source.dpi:
        return source.exif
    exif = Image.Exif()
    if source.exif:
        exif.load(source.exif)
    exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = source.dpi
    exif[ExifTags.Base.ResolutionUnit] = 2  # inch
    return exif.tobytes()


def _has_sub_directories(source: Photo | None) -> bool:
    """Whether EXIF has nested directories: libtiff cannot write them, Pillow's uncompressed TIFF can."""
    if source is None or source.exif is None:
        return False
    exif = Image.Exif()
    exif.load(source.exif)
    return any(directory in exif for directory in _SUB_DIRECTORIES)


def output_format(key: str, policy: str) -> str:
    """Format to write for an input key: the policy, or for "same" the one its suffix names (PNG if none can)."""
    if policy != "same":
        return policy
    return _FORMAT_OF_SUFFIX.get(PurePosixPath(key).suffix.lower(), "png")


def output_key(key: str, policy: str) -> str:
    """Key of the colour image, different for different input keys.

    The input's own key where its suffix names the written format, else with `.color` and the format's suffix appended:
    `a.png` stays, `a.gif` becomes `a.gif.color.png`. A key that looks appended to already gets another one, so that no
    two inputs ever share an output.
    """
    format = output_format(key, policy)
    stem, suffix = os.path.splitext(key)
    if _FORMAT_OF_SUFFIX.get(suffix.lower()) == format and not stem.endswith(_APPENDED):
        return key
    return f"{key}{_APPENDED}{_NEW_SUFFIX[format]}"
