"""Mutated photographs: seeded changes of files of every format, and a program that decodes them.

`python tests/faults/mutations.py FIRST LAST BYTES` decodes the mutants of these numbers, one line of JSON each, in a
process that may map no more than BYTES in addition to its libraries.
"""

import io
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from colorize_core.photo.decode import PhotoError, decode

SIDE = (64, 96)
"""Height and width of the photographs."""
_MAX_PIXELS = 1_000_000


def originals() -> dict[str, bytes]:
    """Return a photograph of 64 x 96 pixels in every format."""
    rows, columns = np.mgrid[: SIDE[0], : SIDE[1]]
    gray = (127 + 60 * np.sin(columns / 7) + 60 * np.cos(rows / 5)).astype(np.uint8)
    rgb = np.stack([gray, gray[::-1], gray[:, ::-1]], axis=2)
    deep = gray.astype(np.uint16) * 257 + rows.astype(np.uint16)
    images = {
        "jpeg": _pillow(gray, "JPEG", quality=90),
        "jpeg progressive": _pillow(rgb, "JPEG", progressive=True, quality=85),
        "jpeg with metadata": _pillow(
            gray, "JPEG", exif=_exif(), comment=b"plate", xmp=b"<x:xmpmeta/>", dpi=(300, 300)
        ),
        "jpeg cmyk": _pillow(Image.fromarray(rgb).convert("CMYK"), "JPEG"),
        "jpeg 12 bits": imagecodecs.jpeg_encode(deep >> 4, bitspersample=12),
        "png": _pillow(gray, "PNG"),
        "png 16 bits": imagecodecs.png_encode(deep),
        "png palette": _pillow(Image.fromarray(rgb).quantize(16), "PNG"),
        "gif": _pillow(gray, "GIF"),
        "bmp": _pillow(rgb, "BMP"),
        "ppm": _pillow(rgb, "PPM"),
        "webp": _pillow(rgb, "WEBP", quality=80),
        "avif": _pillow(rgb, "AVIF"),
        "jpeg 2000": imagecodecs.jpeg2k_encode(gray, level=0),
        "jpeg 2000 16 bits": imagecodecs.jpeg2k_encode(deep, level=0),
        "tiff": _pillow(gray, "TIFF"),
        "tiff lzw": _pillow(gray, "TIFF", compression="tiff_lzw"),
        "tiff g4": _pillow(Image.fromarray(gray).convert("1"), "TIFF", compression="group4"),
        "tiff jpeg": _pillow(rgb, "TIFF", compression="jpeg"),
        "tiff tiles": _tifffile(deep, tile=(32, 32), compression="zlib", predictor=True),
        "tiff big-endian": _tifffile(deep, byteorder=">"),
        "tiff webp": _tifffile(rgb, compression="webp", photometric="rgb"),
    }
    return images


def mutate(number: int, files: dict[str, bytes]) -> tuple[str, bytes]:
    """Return the name of the format and the bytes of a mutant; the number is the seed."""
    random = np.random.default_rng(number)
    name = list(files)[number % len(files)]
    data = bytearray(files[name])
    for _ in range(random.integers(1, 4)):
        _CHANGES[random.integers(len(_CHANGES))](data, random, files)
    return name, bytes(data)


def _flip_bits(data: bytearray, random: np.random.Generator, files: dict[str, bytes]) -> None:
    for _ in range(random.integers(1, 16)):
        if data:
            data[random.integers(len(data))] ^= 1 << random.integers(8)


def _change_header(data: bytearray, random: np.random.Generator, files: dict[str, bytes]) -> None:
    for _ in range(random.integers(1, 6)):
        if data:
            data[random.integers(min(len(data), 256))] = random.integers(256)


def _truncate(data: bytearray, random: np.random.Generator, files: dict[str, bytes]) -> None:
    del data[random.integers(len(data) + 1) :]


def _splice_header(data: bytearray, random: np.random.Generator, files: dict[str, bytes]) -> None:
    other = list(files.values())[random.integers(len(files))]
    length = random.integers(4, 200)
    data[:length] = other[:length]


def _overwrite(data: bytearray, random: np.random.Generator, files: dict[str, bytes]) -> None:
    start = random.integers(len(data) + 1)
    length = min(int(random.integers(1, 400)), len(data) - start)
    data[start : start + length] = bytes(length) if random.random() < 0.5 else random.bytes(length)


def _insert_or_remove(data: bytearray, random: np.random.Generator, files: dict[str, bytes]) -> None:
    start = random.integers(len(data) + 1)
    if random.random() < 0.5:
        data[start:start] = random.bytes(random.integers(1, 64))
    else:
        del data[start : start + random.integers(1, 64)]


_CHANGES: tuple[Callable[[bytearray, np.random.Generator, dict[str, bytes]], None], ...] = (
    _flip_bits,
    _change_header,
    _truncate,
    _splice_header,
    _overwrite,
    _insert_or_remove,
)


def outcome(data: bytes) -> dict[str, object]:
    """Decode a file; return its status, and the size and the mean of its pixels for a comparison."""
    try:
        photo = decode(data, _MAX_PIXELS)
    except PhotoError as error:
        return {"status": str(error.status), "error": str(error)}
    return {
        "status": "ok",
        "size": photo.pixels.shape[:2],
        "mean": float(photo.pixels.mean() / np.iinfo(photo.pixels.dtype).max),
    }


def _pillow(image: np.ndarray | Image.Image, format: str, **options: object) -> bytes:
    sink = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(sink, format, **options)
    return sink.getvalue()


def _tifffile(pixels: np.ndarray, **options: object) -> bytes:
    sink = io.BytesIO()
    tifffile.imwrite(sink, pixels, **options)
    return sink.getvalue()


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "plate 17", 6
    return exif.tobytes()


def _main(first: int, last: int, limit: int) -> None:
    files = originals()
    for data in files.values():  # loads every library before the limit is set
        outcome(data)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + limit, mapped + limit))
    for number in range(first, last):
        name, data = mutate(number, files)
        print(json.dumps({"number": number, "format": name, **outcome(data)}), flush=True)


if __name__ == "__main__":
    _main(*map(int, sys.argv[1:]))
