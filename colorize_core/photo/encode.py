"""Color pictures as files: tagged sRGB, with the metadata and alpha of their photograph, and where they come from."""

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from colorize_core.photo.decode import Photo, PhotoError
from colorize_core.photo.depth import to_depth
from colorize_core.photo.formats import WRITE_FORMATS
from colorize_core.photo.metadata import write_exif
from colorize_core.photo.png_tiff import Tags, write_png, write_tiff
from colorize_core.photo.profiles import SRGB_PROFILE
from colorize_core.photo.provenance import Provenance, describe

Subsampling = Literal["4:4:4", "4:2:0"]
BitDepth = Literal[8, "same"]

_LONGEST_SIDE = {"webp": 16383, "jpeg": 65500}
"""Limits of the formats (WebP's 14 bits; libjpeg's JPEG_MAX_DIMENSION)."""
_LONGEST_JPEG_EXIF, _LONGEST_JPEG_XMP = 65533, 65504
_WIDE_FORMATS = ("png", "tiff")


@dataclass(frozen=True)
class Encoding:
    """How pictures become files."""

    quality: int = 95
    """1 to 100, of JPEG and WebP."""
    subsampling: Subsampling = "4:2:0"
    """Of JPEG's chroma. The color added is smoother than half the resolution: on photographs, 4:4:4 costs 16 % more
    bytes for lightness errors 2 % smaller on average. (WebP always halves chroma.)"""
    compression: int = 3
    """0 to 9, zlib's, of PNG and TIFF. On a photograph of 3 megapixels 6 saves 2 % more and takes three times as
    long."""
    bit_depth: BitDepth = 8
    """same keeps 16 bits where the photograph has them and the format can: PNG and TIFF."""

    def depth(self, format: str, photo: Photo) -> int:
        """Bits a channel of the picture of a photograph."""
        return 16 if self.bit_depth == "same" and photo.bit_depth == 16 and format in _WIDE_FORMATS else 8


_DEFAULT = Encoding()


def encode(
    rgb: np.ndarray,
    format: str,
    source: Photo | None = None,
    encoding: Encoding = _DEFAULT,
    provenance: Provenance | None = None,
) -> bytes:
    """Encode a color picture.

    Args:
        rgb: (H, W, 3) uint8, or uint16 for PNG and TIFF.
        format: one of `WRITE_FORMATS`. JPEG has no alpha: it is laid on white.
        source: the photograph whose EXIF, XMP, resolution and alpha are kept; see `unsupported_features`.
        encoding: quality and the like.
        provenance: what colored it.

    Raises:
        PhotoError: with status unsupported, when the picture is larger than the format can hold.
    """
    longest = _LONGEST_SIDE.get(format)
    size = f"{rgb.shape[1]}x{rgb.shape[0]}"
    if longest and max(rgb.shape[:2]) > longest:
        raise PhotoError(
            "unsupported", f"{size} pixels do not fit {WRITE_FORMATS[format]}, whose longest side is {longest}"
        )
    tags = _tags(format, source, provenance)
    if format in _WIDE_FORMATS:
        pixels = rgb
        if source is not None and source.alpha is not None:
            pixels = np.dstack((rgb, to_depth(source.alpha, rgb.itemsize * 8)))
        try:
            return (write_png if format == "png" else write_tiff)(pixels, tags, encoding.compression)
        except OverflowError as error:
            raise PhotoError("unsupported", f"{size} pixels do not fit {WRITE_FORMATS[format]}: {error}") from error
    return _lossy(rgb, format, None if source is None else source.alpha, tags, encoding)


def _lossy(rgb: np.ndarray, format: str, alpha: np.ndarray | None, tags: Tags, encoding: Encoding) -> bytes:
    """JPEG or WebP, by Pillow."""
    image = Image.fromarray(rgb)
    if alpha is not None:
        image.putalpha(Image.fromarray(to_depth(alpha, 8)))
        if format == "jpeg":
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    options: dict[str, object] = {"icc_profile": tags.profile, "quality": encoding.quality}
    if format == "jpeg":
        options["subsampling"] = encoding.subsampling
    if tags.dpi:
        options["dpi"] = tags.dpi
    if tags.xmp:
        options["xmp"] = tags.xmp
    if len(tags.exif):
        options["exif"] = tags.exif.tobytes()
    sink = io.BytesIO()
    image.save(sink, WRITE_FORMATS[format], **options)
    return sink.getvalue()


def unsupported_features(format: str, source: Photo, provenance: Provenance | None = None) -> list[str]:
    """What of the source a format cannot hold, for the record."""
    lost = []
    if format == "jpeg" and source.alpha is not None:
        lost.append("transparency laid on white")
    if not _exif_fits(format, source, provenance):
        lost.append("EXIF too long for JPEG left out")
    if not _xmp_fits(format, source, provenance):
        lost.append("XMP too long for JPEG left out")
    return lost


def _tags(format: str, source: Photo | None, provenance: Provenance | None) -> Tags:
    if source is None:
        return Tags(SRGB_PROFILE, write_exif(None, provenance), describe(None, provenance), None)
    exif = source.exif if _exif_fits(format, source, provenance) else None
    packet = source.xmp if _xmp_fits(format, source, provenance) else None
    # WebP has no other place for the resolution.
    exif_dpi = source.dpi if format == "webp" else None
    return Tags(SRGB_PROFILE, write_exif(exif, provenance, exif_dpi), describe(packet, provenance), source.dpi)


def _exif_fits(format: str, source: Photo, provenance: Provenance | None) -> bool:
    return format != "jpeg" or len(write_exif(source.exif, provenance).tobytes()) <= _LONGEST_JPEG_EXIF


def _xmp_fits(format: str, source: Photo, provenance: Provenance | None) -> bool:
    return format != "jpeg" or len(describe(source.xmp, provenance) or b"") <= _LONGEST_JPEG_XMP
