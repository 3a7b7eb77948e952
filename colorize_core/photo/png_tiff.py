"""Writing of PNG and TIFF with 8 or 16 bits per channel.

Pillow writes only 8 bits in color, and drops the sub-directories of EXIF in compressed TIFF.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import imagecodecs
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from colorize_core.photo.formats import encode_image
from colorize_core.photo.metadata import SUB_DIRECTORIES, Captions, photoshop_segment, raw_profile
from colorize_core.provenance.extended_xmp import packet_segments
from colorize_core.runtime.strips import row_slices

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEFLATE, _RGB, _CONTIGUOUS, _DIFFERENCES, _UNASSOCIATED, _INCH = 8, 2, 1, 2, 2, 2
_UNDEFINED, _BYTE, _LONG = 7, 1, 4  # TIFF field types


@dataclass(frozen=True)
class Tags:
    """Metadata of a file to write."""

    profile: bytes
    exif: Image.Exif
    xmp: bytes | None
    dpi: tuple[float, float] | None
    captions: Captions = field(default_factory=Captions)

    @cached_property
    def exif_block(self) -> bytes:
        """EXIF as bytes; empty if it has no tags."""
        return self.exif.tobytes() if len(self.exif) else b""

    @cached_property
    def jpeg_segments(self) -> bytes:
        """XMP and IPTC-IIM as segments of a JPEG; raises ValueError for XMP that cannot be divided."""
        packet = packet_segments(self.xmp) if self.xmp else b""
        return packet + (photoshop_segment(self.captions.iptc) if self.captions.iptc else b"")


def write_png(pixels: np.ndarray, tags: Tags, compression: int) -> bytes:
    """Encode as PNG.

    Args:
        pixels: (H, W, 3) RGB or (H, W, 4) RGBA, uint8 or uint16.
        tags: metadata, written before the pixels.
        compression: zlib level, 0 to 9.
    """
    encoded = memoryview(imagecodecs.png_encode(pixels, level=compression))
    header = len(_PNG_SIGNATURE) + 12 + 13  # IHDR is the first chunk and has 13 bytes
    chunks = _chunks(_metadata_png(tags))
    metadata = b"".join(chunk for name, chunk in chunks if name not in (b"IHDR", b"IDAT", b"IEND"))
    return b"".join((encoded[:header], metadata, encoded[header:]))


def _metadata_png(tags: Tags) -> bytes:
    """Encode an image of one pixel, with the metadata, with Pillow."""
    text = PngInfo()
    if tags.xmp:
        text.add_itxt("XML:com.adobe.xmp", tags.xmp.decode())
    for keyword, value in tags.captions.text.items():
        text.add_itxt(keyword, value)
    if tags.captions.comment and "Comment" not in tags.captions.text:
        text.add_text("Comment", tags.captions.comment.decode("utf-8", "replace"))
    if tags.captions.iptc:
        text.add_text(*raw_profile(tags.captions.iptc), zip=True)
    options: dict[str, object] = {"dpi": tags.dpi} if tags.dpi else {}
    if tags.exif_block:
        options["exif"] = tags.exif_block
    return encode_image(Image.new("RGB", (1, 1)), "PNG", icc_profile=tags.profile, pnginfo=text, **options)


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the bytes of each chunk of a PNG; the bytes include length and checksum."""
    start = len(_PNG_SIGNATURE)
    while start < len(png):
        (length,) = struct.unpack(">I", png[start : start + 4])
        yield png[start + 4 : start + 8], png[start : start + 12 + length]
        start += 12 + length


def write_tiff(pixels: np.ndarray, tags: Tags, compression: int) -> bytes:
    """Encode as little-endian TIFF 6.0, in deflated strips with horizontal differencing; arguments as of `write_png`.

    Raises:
        OverflowError: the file would exceed 4 GiB.
    """
    height, width, channels = pixels.shape
    strips = list(row_slices(height, width))
    compressed = [_deflate(pixels[rows], compression) for rows in strips]
    directory = ImageFileDirectory_v2(prefix=b"II")
    for tag, value in tags.exif.items():
        directory[tag] = tags.exif.get_ifd(tag) if tag in SUB_DIRECTORIES else value
    directory[256], directory[257] = width, height
    directory[258] = (pixels.itemsize * 8,) * channels
    directory[259], directory[262], directory[277] = _DEFLATE, _RGB, channels
    directory[284], directory[317] = _CONTIGUOUS, _DIFFERENCES
    directory[278] = strips[0].stop
    if channels == 4:
        directory[338] = _UNASSOCIATED
    if tags.dpi:
        directory[282], directory[283] = tags.dpi
        directory[296] = _INCH
    _set(directory, 34675, _UNDEFINED, tags.profile)
    if tags.xmp:
        _set(directory, 700, _BYTE, tags.xmp)
    if tags.captions.iptc:
        _set(directory, 33723, _UNDEFINED, tags.captions.iptc)
    _set(directory, 279, _LONG, tuple(map(len, compressed)))
    # On writing, the directory adds its own end to these offsets.
    starts = np.cumsum([0, *map(len, compressed[:-1])]).tolist()
    _set(directory, 273, _LONG, tuple(starts))
    head = b"II*\0" + struct.pack("<I", 8)
    if sum(map(len, compressed)) >= 2**32 - 2**24:
        raise OverflowError("larger than the 4 GiB of a TIFF file")
    return b"".join((head, directory.tobytes(len(head)), *compressed))


def _set(directory: ImageFileDirectory_v2, tag: int, field_type: int, value: bytes | tuple[int, ...]) -> None:
    directory.tagtype[tag] = field_type
    directory[tag] = value


def _deflate(rows: np.ndarray, compression: int) -> bytes:
    """Compress rows as differences to the pixel on the left, with wrap-around (TIFF predictor 2)."""
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]
    return zlib.compress(differences.astype(rows.dtype.newbyteorder("<"), copy=False).tobytes(), compression)
