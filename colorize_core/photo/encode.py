"""Encoding of color images: tagged sRGB, with the metadata and alpha of the photograph, and their provenance."""

import dataclasses

import numpy as np
from PIL import Image

from colorize_core.photo.decode import Photo, PhotoError
from colorize_core.photo.formats import WRITE_FORMATS, encode_image
from colorize_core.photo.label import draw_label
from colorize_core.photo.metadata import Captions, write_exif
from colorize_core.photo.options import EncodingOptions
from colorize_core.photo.png_tiff import Tags, write_png, write_tiff
from colorize_core.photo.profiles import SRGB_PROFILE
from colorize_core.photo.samples import to_depth
from colorize_core.provenance.record import Provenance, write_xmp
from colorize_core.status import Status

_MAX_SIDE = {"webp": 16383, "jpeg": 65500}
"""Limits of the formats: 14 bits in WebP, JPEG_MAX_DIMENSION in libjpeg."""
_MAX_JPEG_EXIF, _MAX_JPEG_IPTC = 65533, 65500
_16_BIT_FORMATS = ("png", "tiff")
_DEFAULT = EncodingOptions()


def output_depth(options: EncodingOptions, format: str, source: Photo) -> int:
    """Return the bits per channel, 8 or 16, of the color image of a photograph."""
    return 16 if options.bit_depth == "same" and source.bit_depth == 16 and format in _16_BIT_FORMATS else 8


def encode(
    rgb: np.ndarray,
    format: str,
    source: Photo | None = None,
    options: EncodingOptions = _DEFAULT,
    provenance: Provenance | None = None,
) -> tuple[bytes, list[str]]:
    """Encode a color image.

    Args:
        rgb: (H, W, 3) uint8, or uint16 for PNG and TIFF.
        format: one of `WRITE_FORMATS`. JPEG has no alpha: transparent photographs are composited on white.
        source: photograph whose EXIF, XMP, resolution and alpha are kept.
        options: quality, compression, subsampling and label.
        provenance: software and model that colored it.

    Returns:
        The file, and the features of the source that the format cannot store, for the column `note`.

    Raises:
        PhotoError: with status UNSUPPORTED, if the image is larger than the format allows.
    """
    longest = _MAX_SIDE.get(format)
    size = f"{rgb.shape[1]}x{rgb.shape[0]}"
    if longest and max(rgb.shape[:2]) > longest:
        raise PhotoError(
            Status.UNSUPPORTED, f"{size} pixels do not fit {WRITE_FORMATS[format]}, whose longest side is {longest}"
        )
    tags, losses = _tags(format, source, provenance)
    alpha = None if source is None else source.alpha
    if format not in _16_BIT_FORMATS:
        return _encode_lossy(rgb, format, alpha, tags, options), losses
    pixels = rgb if alpha is None else np.dstack((rgb, to_depth(alpha, rgb.itemsize * 8)))
    try:
        return (write_png if format == "png" else write_tiff)(pixels, tags, options.compression), losses
    except OverflowError as error:
        raise PhotoError(Status.UNSUPPORTED, f"{size} pixels do not fit {WRITE_FORMATS[format]}: {error}") from error


def _encode_lossy(
    rgb: np.ndarray, format: str, alpha: np.ndarray | None, tags: Tags, options: EncodingOptions
) -> bytes:
    """Encode as JPEG or WebP with Pillow."""
    image = Image.fromarray(rgb)
    if alpha is not None:
        image.putalpha(Image.fromarray(to_depth(alpha, 8)))
        if format == "jpeg":
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if options.label:
        draw_label(image, options.label)
    settings: dict[str, object] = {"icc_profile": tags.profile, "quality": options.quality}
    if format == "jpeg":
        settings["subsampling"] = options.subsampling
    if tags.dpi:
        settings["dpi"] = tags.dpi
    if tags.exif_block:
        settings["exif"] = tags.exif_block
    if format == "jpeg":
        if tags.captions.comment:
            settings["comment"] = tags.captions.comment
        settings["extra"] = tags.jpeg_segments
    elif tags.xmp:
        settings["xmp"] = tags.xmp
    return encode_image(image, WRITE_FORMATS[format], **settings)


def _tags(format: str, source: Photo | None, provenance: Provenance | None) -> tuple[Tags, list[str]]:
    """Return the metadata to write, and what of the source is lost."""
    if source is None:
        return Tags(SRGB_PROFILE, write_exif(None, provenance), write_xmp(None, provenance), None), []
    exif_dpi = source.dpi if format == "webp" else None  # WebP has no other field for the resolution
    exif = write_exif(source.exif, provenance, exif_dpi)
    captions, losses = _keep_captions(source.captions, format)
    tags = Tags(SRGB_PROFILE, exif, write_xmp(source.xmp, provenance), source.dpi, captions)
    if format != "jpeg":
        return tags, losses
    if source.alpha is not None:
        losses.append("transparency composited on white")
    if len(tags.exif_block) > _MAX_JPEG_EXIF:
        losses.append("EXIF too long for JPEG omitted")
        tags = dataclasses.replace(tags, exif=write_exif(None, provenance))
    try:
        _ = tags.jpeg_segments
    except ValueError:  # a long packet that has nothing to move to its extension
        losses.append("XMP too long for JPEG omitted")
        tags = dataclasses.replace(tags, xmp=write_xmp(None, provenance))
    return tags, losses


def _keep_captions(captions: Captions, format: str) -> tuple[Captions, list[str]]:
    """Return the captions that a format can hold, and what is lost."""
    losses = []
    iptc, comment, text = captions.iptc, captions.comment, captions.text
    if iptc and (format == "webp" or (format == "jpeg" and len(iptc) > _MAX_JPEG_IPTC)):
        losses.append(f"IPTC {'too long for JPEG ' if format == 'jpeg' else ''}omitted")
        iptc = None
    if comment and (format in ("webp", "tiff") or (format == "jpeg" and len(comment) > _MAX_JPEG_EXIF)):
        losses.append("comment omitted")
        comment = None
    if text and format != "png":
        losses.append(f"PNG text omitted: {', '.join(text)}")
        text = {}
    return Captions(iptc, comment, text), losses
