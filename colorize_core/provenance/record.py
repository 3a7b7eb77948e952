"""Provenance of color images, recorded in their metadata and never drawn into the image."""

import functools
from dataclasses import dataclass

from colorize_core import __version__
from colorize_core.provenance import xmp
from colorize_core.provenance.extended_xmp import EXTENDED_XMP

_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_TIFF = "http://ns.adobe.com/tiff/1.0/"
_EXIF = "http://ns.adobe.com/exif/1.0/"
_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"

ENHANCED = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicallyEnhanced"
"""IPTC term for a photograph to which an algorithm added content, such as color."""

# Properties of the source file rather than the photograph: wrong after rotation, conversion to sRGB and encoding.
_FILE_PROPERTIES = (
    (_TIFF, "Orientation"),
    (_TIFF, "ImageWidth"),
    (_TIFF, "ImageLength"),
    (_TIFF, "BitsPerSample"),
    (_TIFF, "SamplesPerPixel"),
    (_TIFF, "PhotometricInterpretation"),
    (_TIFF, "Compression"),
    (_EXIF, "PixelXDimension"),
    (_EXIF, "PixelYDimension"),
    (_EXIF, "ColorSpace"),
    (_PHOTOSHOP, "ICCProfile"),
    (_XMP, "Thumbnails"),
    EXTENDED_XMP,
)


def software() -> str:
    """Return the name and version of this software."""
    return f"colorize {__version__}"


@dataclass(frozen=True)
class Provenance:
    """Software and model that colored a photograph."""

    software: str
    """Name and version of the software."""
    model: str
    """Name of the architecture."""
    checkpoint_sha256: str
    """SHA-256 of the weights."""


@functools.lru_cache(maxsize=64)
def write_xmp(packet: bytes | None, provenance: Provenance | None) -> bytes | None:
    """Build the XMP packet of a color image: that of the photograph, with the provenance of the colors added.

    The properties are DigitalSourceType, AISystemUsed and AISystemVersionUsed of IPTC Photo Metadata 2025.1.
    CreatorTool is the first tool that created the resource, so an existing value is kept. Results are cached, for
    photographs without a packet: building one takes a third of the time of encoding a small JPEG.

    Args:
        packet: packet of the photograph, see `xmp.rewrite`, or None.
        provenance: None to add nothing.

    Returns:
        The packet; None if there is nothing to record.

    Raises:
        ValueError: the packet of the photograph is damaged.
    """
    if packet is None and provenance is None:
        return None
    return xmp.rewrite(packet, _FILE_PROPERTIES, _properties(packet, provenance) if provenance else None)


def _properties(packet: bytes | None, provenance: Provenance) -> dict[tuple[str, str, str], str]:
    properties = {
        (_IPTC, "Iptc4xmpExt", "DigitalSourceType"): ENHANCED,
        (_IPTC, "Iptc4xmpExt", "AISystemUsed"): f"{provenance.software}, {provenance.model}",
        (_IPTC, "Iptc4xmpExt", "AISystemVersionUsed"): f"sha256:{provenance.checkpoint_sha256}",
    }
    if xmp.read_property(packet, (_XMP, "CreatorTool")) is None:
        properties[_XMP, "xmp", "CreatorTool"] = provenance.software
    return properties
