"""PNG and TIFF files of 8 or 16 bits a channel. Pillow writes 8 in color, and no nested EXIF in compressed TIFF."""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import imagecodecs
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from colorize_core.photo.metadata import SUB_DIRECTORIES
from colorize_core.runtime.strips import row_strips

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEFLATE, _RGB, _CONTIGUOUS, _DIFFERENCES, _UNASSOCIATED, _INCH = 8, 2, 1, 2, 2, 2
_UNDEFINED, _BYTE, _LONG = 7, 1, 4  # field types of TIFF


@dataclass(frozen=True)
class Tags:
    """Metadata of a file to write."""

    profile: bytes
    exif: Image.Exif
    """Empty for none."""
    xmp: bytes | None
    dpi: tuple[float, float] | None


def write_png(pixels: np.ndarray, tags: Tags, compression: int) -> bytes:
    """Encode as PNG.

    Args:
        pixels: (H, W, 3) RGB or (H, W, 4) RGBA, uint8 or uint16.
        tags: written before the pixels.
        compression: 0 to 9, of zlib.
    """
    encoded = memoryview(imagecodecs.png_encode(pixels, level=compression))
    header = len(_PNG_SIGNATURE) + 12 + 13  # IHDR comes first and has 13 bytes
    metadata = b"".join(
        chunk for name, chunk in _chunks(_metadata_png(tags)) if name not in (b"IHDR", b"IDAT", b"IEND")
    )
    return b"".join((encoded[:header], metadata, encoded[header:]))


def _metadata_png(tags: Tags) -> bytes:
    """A picture of one pixel, by Pillow, with the metadata."""
    text = PngInfo()
    if tags.xmp:
        text.add_itxt("XML:com.adobe.xmp", tags.xmp.decode())
    options: dict[str, object] = {"dpi": tags.dpi} if tags.dpi else {}
    if len(tags.exif):
        options["exif"] = tags.exif.tobytes()
    sink = io.BytesIO()
    Image.new("RGB", (1, 1)).save(sink, "PNG", icc_profile=tags.profile, pnginfo=text, **options)
    return sink.getvalue()


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and bytes of each chunk of a PNG, with its length and checksum."""
    start = len(_PNG_SIGNATURE)
    while start < len(png):
        (length,) = struct.unpack(">I", png[start : start + 4])
        yield png[start + 4 : start + 8], png[start : start + 12 + length]
        start += 12 + length


def write_tiff(pixels: np.ndarray, tags: Tags, compression: int) -> bytes:
    """Encode as TIFF 6.0, little-endian: strips of differences, deflated.

    Arguments as of `write_png`. Raises OverflowError for files of 4 GiB and more.
    """
    height, width, channels = pixels.shape
    strips = list(row_strips(height, width))
    packed = [_deflate(pixels[rows], compression) for rows in strips]
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
    _set(directory, 279, _LONG, tuple(map(len, packed)))
    # The directory adds its own end to these offsets when it is written.
    starts = np.cumsum([0, *map(len, packed[:-1])]).tolist()
    _set(directory, 273, _LONG, tuple(starts))
    head = b"II*\0" + struct.pack("<I", 8)
    if sum(map(len, packed)) >= 2**32 - 2**24:
        raise OverflowError("larger than the 4 GiB of a TIFF file")
    return b"".join((head, directory.tobytes(len(head)), *packed))


def _set(directory: ImageFileDirectory_v2, tag: int, kind: int, value: bytes | tuple[int, ...]) -> None:
    directory.tagtype[tag] = kind
    directory[tag] = value


def _deflate(rows: np.ndarray, compression: int) -> bytes:
    """Rows as differences to the pixel on their left (TIFF's predictor 2), modulo 2 to the bits, compressed."""
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]
    return zlib.compress(differences.astype(rows.dtype.newbyteorder("<"), copy=False).tobytes(), compression)
