"""Samples of 8 and 16 bits, and decoding of files whose samples Pillow would reduce, misread or refuse."""

import io
from dataclasses import dataclass

import imagecodecs
import numpy as np
import tifffile

from colorize_core.runtime.strips import row_slices

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _SEPARATED = 0, 1, 2, 5  # photometric interpretations of TIFF
_COLORS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _SEPARATED: 4}
_YCBCR = 6
_CONVERTING = {6, 7, 33003, 33005, 34712, 50001, 50002}  # compressions whose codecs convert YCbCr to RGB
_PREMULTIPLIED, _UNASSOCIATED = 1, 2  # extra samples of TIFF
_UNSIGNED, _SIGNED = 1, 2  # sample formats of TIFF
_FORMATS = {_SIGNED: "signed", 3: "float", 5: "complex", 6: "complex"}
_MOST_CHANNELS = 8


class UnsupportedSamplesError(ValueError):
    """Samples that are complete, but not of a kind that can be shown as a photograph."""


@dataclass(frozen=True)
class Samples:
    """Decoded samples, black 0 and white the maximum of their type."""

    colors: np.ndarray
    """(H, W) gray, (H, W, 3) RGB or (H, W, 4) CMYK; uint8 or uint16. CMYK is always uint8."""
    alpha: np.ndarray | None
    """(H, W), with the depth of the colors; None without alpha."""
    note: str | None = None
    """What was left out."""


def to_depth(values: np.ndarray, bits: int) -> np.ndarray:
    """Scale uint8 or uint16 values of any shape to 8 or 16 bits; 255 corresponds to 65535."""
    if values.dtype.itemsize * 8 == bits:
        return values
    if bits == 16:
        return values.astype(np.uint16) * 257
    return _rescale(values, 65535, 8)


def scale_to_full_range(values: np.ndarray, maximum: int) -> np.ndarray:
    """Scale unsigned samples so that white is 255 or 65535.

    Args:
        values: unsigned integers of any shape, at most `maximum`.
        maximum: white in the file: 15 for 4 bits, 1023 for 10 bits.

    Returns:
        uint8 for at most 8 bits, else uint16; the values themselves if nothing changes.
    """
    bits = 8 if maximum <= 255 else 16
    if maximum == 2**bits - 1 and values.dtype.itemsize * 8 == bits:
        return values
    return _rescale(values, maximum, bits)


def _rescale(values: np.ndarray, maximum: int, bits: int) -> np.ndarray:
    scaled = np.empty(values.shape, np.uint8 if bits == 8 else np.uint16)
    for rows in row_slices(len(values), values[:1].size):
        scaled[rows] = (values[rows].astype(np.uint32) * (2**bits - 1) + maximum // 2) // maximum
    return scaled


def read_png(data: bytes) -> Samples:
    """Decode a PNG with libpng, which keeps 16 bits and turns a transparent color (tRNS) into alpha."""
    return _split(imagecodecs.png_decode(data))


def read_jpeg(data: bytes, bits: int) -> Samples:
    """Decode a JPEG of gray or RGB with more than 8 bits per sample with libjpeg."""
    return _split(scale_to_full_range(imagecodecs.jpeg_decode(data), 2**bits - 1))


def read_jpeg_2000(data: bytes, bits: int) -> Samples:
    """Decode JPEG 2000 with OpenJPEG; the last of two or four components is alpha."""
    return _split(scale_to_full_range(imagecodecs.jpeg2k_decode(data), 2**bits - 1))


def read_tiff(data: bytes, offset: int) -> Samples:
    """Decode the page of a TIFF whose directory is at `offset`, with tifffile and the codecs of imagecodecs.

    Raises:
        UnsupportedSamplesError: signed or float samples, or colors that are neither gray nor RGB nor CMYK.
        Exception: almost any, for damaged data.
    """
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = next(page for top in file.pages for page in (top, *(top.pages or ())) if page.offset == offset)
        colors = _check_tiff(page)
        ends = (start + length for start, length in zip(page.dataoffsets, page.databytecounts, strict=True))
        if max(ends, default=0) > len(data) or 0 in page.databytecounts:
            raise ValueError("image file is truncated")
        values = page.asarray()
        if page.planarconfig == 2 and values.ndim == 3:  # one plane per channel
            values = np.moveaxis(values, 0, -1)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.itemsize > 2:
        values, maximum = _narrow(values), 65535
    else:
        maximum = 2**page.bitspersample - 1
    values = scale_to_full_range(values, maximum)
    if values.shape[:2] != (page.imagelength, page.imagewidth):
        raise UnsupportedSamplesError(f"samples of the shape {values.shape} are not one photograph")
    channels = values[..., None] if values.ndim == 2 else values
    extra = page.extrasamples[0] if page.extrasamples and channels.shape[2] > colors else None
    alpha = channels[..., colors] if extra in (_PREMULTIPLIED, _UNASSOCIATED) else None
    shown = channels[..., :colors]
    if extra == _PREMULTIPLIED:
        shown = _divide(shown, channels[..., colors])
    if page.photometric == _WHITE_IS_ZERO:
        shown = np.iinfo(shown.dtype).max - shown
    if colors == 4:
        shown, alpha = to_depth(shown, 8), None if alpha is None else to_depth(alpha, 8)
    note = "extra channel without a stated meaning left out" if extra is not None and alpha is None else None
    return Samples(_contiguous(shown), None if alpha is None else np.ascontiguousarray(alpha), note)


def _check_tiff(page: tifffile.TiffPage) -> int:
    """Return the number of color channels."""
    if page.sampleformat not in (_UNSIGNED, _SIGNED) or (page.sampleformat == _SIGNED and page.bitspersample <= 16):
        kind = _FORMATS.get(int(page.sampleformat), "undefined")
        raise UnsupportedSamplesError(f"{kind} samples of {page.bitspersample} bits have no known range")
    if page.imagedepth != 1:
        raise UnsupportedSamplesError(f"{page.imagedepth} slices of a volume")
    colors = _COLORS.get(int(page.photometric), 0)
    if page.photometric == _YCBCR and int(page.compression) in _CONVERTING:
        colors = 3
    if not colors or page.samplesperpixel < colors:
        raise UnsupportedSamplesError(
            f"{page.samplesperpixel} channels with the photometric interpretation {int(page.photometric)}"
        )
    if page.samplesperpixel > _MOST_CHANNELS:
        raise UnsupportedSamplesError(f"{page.samplesperpixel} channels")
    return colors


def _narrow(values: np.ndarray) -> np.ndarray:
    """Convert 32-bit integers that hold 16-bit values, as some programs write them, or that use the whole range."""
    highest = int(values.max(initial=0))
    if highest <= 65535 and values.min(initial=0) >= 0:
        return values.astype(np.uint16)
    if values.dtype == np.uint32 and highest >= 2**31:
        return (values >> 16).astype(np.uint16)
    raise UnsupportedSamplesError(f"{values.dtype.itemsize * 8}-bit integer samples have no known range")


def _split(channels: np.ndarray) -> Samples:
    """Separate alpha, the last of two or four channels."""
    if channels.ndim == 2:
        return Samples(channels, None)
    count = channels.shape[2]
    if count not in (1, 2, 3, 4):
        raise UnsupportedSamplesError(f"{count} channels")
    colors = 1 if count < 3 else 3
    alpha = np.ascontiguousarray(channels[..., colors]) if count > colors else None
    return Samples(_contiguous(channels[..., :colors]), alpha)


def _divide(premultiplied: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return colors that were multiplied by alpha, without it."""
    maximum = np.iinfo(alpha.dtype).max
    divisor = np.maximum(alpha, 1)[..., None].astype(np.float64)
    return np.minimum(np.rint(premultiplied * (maximum / divisor)), maximum).astype(premultiplied.dtype)


def _contiguous(channels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(channels[..., 0] if channels.shape[2] == 1 else channels)
