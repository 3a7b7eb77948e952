"""Metadata of photographs: orientation, EXIF, XMP, resolution.

Damaged metadata must not fail the photograph: it is omitted, with a note.
"""

import math

from PIL import ExifTags, Image

from colorize_core.photo.provenance import Provenance, write_xmp

# EXIF tags that describe the photograph. The other tags of the main directory describe the layout of the file (strips,
# compression, size) and would be wrong in the new file.
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
SUB_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
"""Sub-directories of EXIF, nested in its main directory."""
_FILE_TAGS = (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight)
_SRGB = 1
_EXIF_HEADER = b"Exif\0\0"
_XMP_TAG = 700


def read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if it is absent or damaged."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF raises almost any exception
        return 1
    return found if found in range(1, 9) else 1


def read_exif(image: Image.Image, notes: list[str]) -> bytes | None:
    """Return the EXIF that describes the photograph, without its orientation; None if it is absent or damaged."""
    try:
        source = image.getexif()
        if not len(source) and len(image.info.get("exif", b"")) > len(_EXIF_HEADER):
            raise ValueError("no tag can be read")
        kept = Image.Exif()
        for tag in _DESCRIPTIVE_TAGS:
            if tag in source:
                kept[tag] = source[tag]
        for directory in SUB_DIRECTORIES:
            entries = {tag: value for tag, value in source.get_ifd(directory).items() if tag not in _FILE_TAGS}
            if ExifTags.Base.ColorSpace in entries:
                entries[ExifTags.Base.ColorSpace] = _SRGB
            if entries:
                kept[directory] = entries
        return kept.tobytes() if len(kept) else None
    except Exception:  # damaged EXIF raises almost any exception
        notes.append("damaged EXIF omitted")
        return None


def read_xmp(image: Image.Image, notes: list[str]) -> bytes | None:
    """Return the XMP packet; None if it is absent or damaged."""
    packet = image.info.get("xmp") or getattr(image, "tag_v2", {}).get(_XMP_TAG)
    if not packet:
        return None
    try:
        packet = bytes(packet) if isinstance(packet, bytes | tuple) else str(packet).encode()
        write_xmp(packet, None)  # raises ValueError if the packet cannot be written again
    except ValueError:
        notes.append("damaged XMP omitted")
        return None
    return packet


def read_dpi(image: Image.Image) -> tuple[float, float] | None:
    """Return horizontal and vertical dots per inch; None if they are absent or not positive and finite."""
    try:
        x, y = (float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if math.isfinite(x) and math.isfinite(y) and x > 0 and y > 0 else None


def write_exif(
    source: bytes | None, provenance: Provenance | None, dpi: tuple[float, float] | None = None
) -> Image.Exif:
    """Build the EXIF of a color image: that of the photograph, with this software appended to the Software tag.

    Args:
        source: EXIF as of `read_exif`.
        provenance: names the software.
        dpi: resolution, for formats without another field for it.
    """
    exif = Image.Exif()
    if source:
        exif.load(source)
    if provenance:
        earlier = str(exif.get(ExifTags.Base.Software, "")).rstrip("\0 ")
        exif[ExifTags.Base.Software] = f"{earlier}; {provenance.software}" if earlier else provenance.software
    if dpi:
        exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = dpi
        exif[ExifTags.Base.ResolutionUnit] = 2  # inch
    return exif
