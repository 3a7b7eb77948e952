"""Pixels and helpers that the tests of photo share."""

import io
import struct
import zlib

import numpy as np
from PIL import Image
from skimage import data

from colorize_core.photo.decode import Photo, PhotoError, decode
from colorize_core.photo.encode import encode
from colorize_core.photo.options import EncodingOptions
from colorize_core.provenance.record import Provenance

RGB = np.ascontiguousarray(data.astronaut()[40:104, 180:276])  # 64 x 96, a face
GRAY = RGB[..., 1]
ALPHA = np.tile(np.linspace(0, 255, 96).astype(np.uint8), (64, 1))
ALPHA16 = np.tile(np.linspace(0, 65535, 96).astype(np.uint16), (64, 1))
LOSSY = 2.5  # mean error in 8-bit steps of quality 95 on a face


def file(image: Image.Image | np.ndarray, format: str, **options: object) -> bytes:
    """Encode an image with Pillow."""
    sink = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(sink, format, **options)
    return sink.getvalue()


def png(width: int, height: int, depth: int, color_type: int, rows: bytes, palette: bytes = b"") -> bytes:
    """Build a PNG from its header and filtered rows, for what Pillow does not write."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0))
    colors = chunk(b"PLTE", palette) if palette else b""
    return b"\x89PNG\r\n\x1a\n" + header + colors + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def opened(data: bytes) -> Image.Image:
    """Load a file with Pillow."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def encoded(
    rgb: np.ndarray,
    format: str,
    source: Photo | None = None,
    provenance: Provenance | None = None,
    **options: object,
) -> bytes:
    """Encode a color image with `encode`; `options` are those of EncodingOptions."""
    return encode(rgb, format, source, EncodingOptions(**options), provenance)[0]


def damage(whole: bytes, generator: np.random.Generator, reach: int) -> bytes:
    """Replace one to nine of the first `reach` bytes of a file."""
    damaged = bytearray(whole)
    for _ in range(generator.integers(1, 10)):
        damaged[generator.integers(reach)] = generator.integers(256)
    return bytes(damaged)


def assert_photograph_or_photo_error(damaged: bytes) -> None:
    """Decode a damaged file: the result is a photograph, or an error that names its status."""
    try:
        photo = decode(damaged, max_pixels=1_000_000)
    except PhotoError as fault:
        assert fault.status in {"truncated", "not_an_image", "too_large", "unsupported"}  # noqa: PT017
    else:
        assert photo.pixels.ndim in (2, 3)
