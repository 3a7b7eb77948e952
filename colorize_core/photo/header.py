"""Headers of photographs: size, kind of samples, metadata, and the decoder that reads this kind.

| file | decoder |
|---|---|
| PNG with several channels of 16 bits, or gray with a transparent level | libpng (imagecodecs) |
| JPEG of more than 8 bits | libjpeg (imagecodecs) |
| JPEG 2000 with a depth other than 8 bits | OpenJPEG (imagecodecs) |
| TIFF, except the common kinds below | tifffile, codecs of imagecodecs |
| TIFF of unsigned 1 to 8 bits in `_PILLOW_TIFF`, in a compression of `_PILLOW_COMPRESSIONS`; all others | Pillow |

Pillow reduces, misreads or refuses the kinds in the first four rows.
"""

import io
import itertools
import logging
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import tifffile
from PIL import ExifTags, Image, UnidentifiedImageError

from colorize_core.photo.jpeg import LOSSLESS, SIGNATURE, find_frame
from colorize_core.photo.samples import UnsupportedSamplesError

# The size is checked before pixels are decoded, against a limit of the caller. Pillow's fixed limit would also refuse
# gigapixel scans that the caller allows.
Image.MAX_IMAGE_PIXELS = None
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it says of damaged files, `PhotoError` says
Image.init()  # registers all plugins, so that Image.open knows the formats below

# Restricting the formats keeps PostScript and other interpreters away from untrusted bytes.
_READ_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000", "PPM", "AVIF")
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PILLOW_COMPRESSIONS = {1, 2, 3, 4, 5, 7, 8, 32773, 32946, 50000}
_UNSIGNED, _REDUCED = 1, 1
_INCH, _CENTIMETER = 2, 3
_PROFILE, _XMP, _IPTC = 34675, 700, 33723  # tags
_ALPHA = {1, 2}  # extra samples of TIFF: premultiplied and unassociated alpha
_PILLOW_TIFF = {  # photometric interpretation, channels, extra channels
    *((photometric, 1, ()) for photometric in (0, 1, 3)),
    *((1, 2, (kind,)) for kind in _ALPHA),
    *((photometric, 3, ()) for photometric in (2, 6, 8)),
    *((2, 4, (kind,)) for kind in (0, *_ALPHA)),
    (5, 4, ()),
}
"""Photometric interpretation, channels and extra channels of TIFF that Pillow reads rightly at up to 8 bits."""


class Decoder(StrEnum):
    """Library that decodes the pixels."""

    PILLOW = "Pillow"
    LIBPNG = "libpng"
    LIBJPEG = "libjpeg"
    OPENJPEG = "OpenJPEG"
    TIFFFILE = "tifffile"


@dataclass(frozen=True)
class TiffMetadata:
    """Metadata of one page, in the form of a Pillow image: Pillow mixes the tags of several pages."""

    data: bytes
    offset: int
    """Position of the page's directory."""
    iptc: bytes | None
    """Records of IPTC-IIM; programs write them as bytes or as words (TIFF Technical Note 3)."""

    @cached_property
    def info(self) -> dict[str, Any]:
        """Profile, XMP and resolution, by Pillow's names."""
        info: dict[str, Any] = {}
        with suppress(Exception):  # damaged tags raise almost any exception; `read_exif` notes them
            exif = self.getexif()
            for name, tag in (("icc_profile", _PROFILE), ("xmp", _XMP)):
                if value := exif.get(tag):
                    info[name] = value if isinstance(value, str) else bytes(value)
            unit = exif.get(ExifTags.Base.ResolutionUnit, _INCH)
            x, y = (float(exif[tag]) for tag in (ExifTags.Base.XResolution, ExifTags.Base.YResolution))
            if unit in (_INCH, _CENTIMETER):
                info["dpi"] = tuple(value * (2.54 if unit == _CENTIMETER else 1) for value in (x, y))
        return info

    def getexif(self) -> Image.Exif:
        """Return all tags of the page."""
        exif = Image.Exif()
        exif.endian, exif.bigtiff = ("<" if self.data[:2] == b"II" else ">"), b"+" in self.data[2:4]
        exif.load_from_fp(io.BytesIO(self.data), self.offset)
        return exif


_MAX_TILE = 4096 * 4096  # pixels of a tile, which may be larger than the picture; a decoder reserves its memory


@dataclass(frozen=True)
class Header:
    """What is known about a photograph before its pixels are decoded."""

    format: str
    """Pillow's name of the format."""
    width: int
    """Columns as stored, before orientation is applied."""
    height: int
    decoder: Decoder
    bits: int
    """Bits per channel in the file."""
    is_gray: bool
    has_alpha: bool
    image: Image.Image | None
    """Opened by Pillow, not loaded; None for TIFF that only tifffile reads."""
    metadata: Image.Image | TiffMetadata
    """Object with `info` and `getexif()`."""
    offset: int = 0
    """Position of the directory of the page that is the photograph, in TIFF."""
    notes: tuple[str, ...] = ()


def read_header(data: bytes) -> Header:
    """Read the header of a photograph.

    Raises:
        UnidentifiedImageError: not a known image format, or a damaged header.
        Exception: almost any, for damaged data.
    """
    if data.startswith(_TIFF_SIGNATURES):
        return _read_tiff(data)
    bits, decoder = 8, Decoder.PILLOW
    frame = find_frame(data) if data.startswith(SIGNATURE) else None
    if frame and (data[frame + 4] != bits or data[frame + 1] == LOSSLESS):
        bits, decoder = data[frame + 4], Decoder.LIBJPEG
        data = data[: frame + 4] + b"\x08" + data[frame + 5 :]  # Pillow refuses to read metadata otherwise
    image = _open(data)
    if image.format == "PNG":
        bits = data[24]
        several, gray_key = data[25] in (2, 4, 6), data[25] == 0 and "transparency" in image.info
        decoder = Decoder.LIBPNG if (bits == 16 and several) or gray_key else decoder
    elif image.format == "JPEG2000":
        bits = _jpeg_2000_bits(data)
        decoder = Decoder.OPENJPEG if bits != 8 else decoder
    elif image.mode.startswith(("I", "F")):
        bits = 16
    gray = image.mode in ("1", "L", "LA") or image.mode.startswith(("I", "F"))
    alpha = image.mode.endswith(("A", "a")) or "transparency" in image.info
    return Header(image.format or "", image.width, image.height, decoder, bits, gray, alpha, image, image)


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=_READ_FORMATS)


def _read_tiff(data: bytes) -> Header:
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page, index, count = _choose_page(file)
            if page.tilewidth * page.tilelength > max(_MAX_TILE, page.imagewidth * page.imagelength):
                raise ValueError(f"tiles of {page.tilewidth}x{page.tilelength} pixels")
            iptc = page.tags.valueof(_IPTC)
    except (tifffile.TiffFileError, struct.error, LookupError, TypeError, ValueError, OverflowError) as error:
        raise UnidentifiedImageError(str(error)) from error
    kind = (int(page.photometric), page.samplesperpixel, tuple(map(int, page.extrasamples)))
    read_by_pillow = (
        index is not None
        and page.bitspersample <= 8
        and page.sampleformat == _UNSIGNED
        and int(page.compression) in _PILLOW_COMPRESSIONS
        and kind in _PILLOW_TIFF
    )
    image = _open(data) if read_by_pillow else None
    if image and index:
        image.seek(index)
    return Header(
        format="TIFF",
        width=page.imagewidth,
        height=page.imagelength,
        decoder=Decoder.PILLOW if image else Decoder.TIFFFILE,
        bits=page.bitspersample,
        is_gray=int(page.photometric) in (0, 1),
        has_alpha=any(int(extra) in _ALPHA for extra in page.extrasamples),
        image=image,
        metadata=TiffMetadata(data, page.offset, iptc if isinstance(iptc, bytes) else None),
        offset=page.offset,
        notes=(f"{_ordinal(index)} of {count} pages or frames",) if count > 1 else (),
    )


def _ordinal(index: int | None) -> str:
    return {None: "largest", 0: "first"}.get(index, f"number {(index or 0) + 1}")


def _choose_page(file: tifffile.TiffFile) -> tuple[tifffile.TiffPage, int | None, int]:
    """Return the page that is the photograph, its index (None in a sub-directory), and the number of such pages.

    Reduced-resolution copies do not count unless there is nothing else. Of the others it is the first page with at
    least half as many pixels as the largest one: front and back of a print differ by a few pixels, thumbnails that are
    not marked as such by more.
    """
    found: list[tuple[tifffile.TiffPage, int | None]] = []
    try:
        found.extend(_each_page_once(file))
    except Exception:  # a damaged later page raises almost any exception, and does not matter for the earlier ones
        if not found:
            raise
    full = [each for each in found if not each[0].subfiletype & _REDUCED] or found
    pixels = [page.imagewidth * page.imagelength for page, _ in full]
    if not pixels or max(pixels) <= 0:
        raise ValueError("no page has a size")
    chosen = next(each for each, size in zip(full, pixels, strict=True) if 2 * size >= max(pixels))
    return *chosen, len(full)


def _each_page_once(file: tifffile.TiffFile) -> Iterator[tuple[tifffile.TiffPage, int | None]]:
    """Yield the pages, each followed by those of its sub-directories; in a damaged file they refer to each other."""
    seen: set[int] = set()
    for index, top in enumerate(file.pages):
        for page in itertools.chain((top,), top.pages or ()):
            if page.offset in seen:
                if page is top:
                    return
                break
            seen.add(page.offset)
            if isinstance(page, tifffile.TiffPage):
                yield page, index if page is top else None


def _jpeg_2000_bits(data: bytes) -> int:
    """Return the bits per component of JPEG 2000, from its SIZ marker.

    Raises:
        UnsupportedSamplesError: signed components, or components that differ in depth or size.
    """
    start = data.find(b"\xff\x4f\xff\x51")
    count = int.from_bytes(data[start + 40 : start + 42])
    kinds = {data[start + 42 + 3 * number : start + 45 + 3 * number] for number in range(count)}
    if start < 0 or any(len(kind) < 3 for kind in kinds) or not kinds:
        raise UnidentifiedImageError("no size in the JPEG 2000 codestream")
    depths = {kind[0] for kind in kinds}
    if depths == {7}:
        return 8
    if len(kinds) > 1 or any(depth & 0x80 for depth in depths):
        raise UnsupportedSamplesError("components of JPEG 2000 that are signed or differ in depth or size")
    return depths.pop() + 1
