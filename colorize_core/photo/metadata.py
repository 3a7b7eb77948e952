"""What a file says of its photograph, apart from the pixels: orientation, EXIF, XMP, resolution.

Damage to any of it must not cost the photograph: it is left out, and noted.
"""

import math

from PIL import ExifTags, Image

from colorize_core.photo.provenance import Provenance, describe

# EXIF tags that describe the photograph. The others of the main directory describe the file's own layout
# (strips, compression, size) and would be wrong in the new one.
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
"""Of EXIF, nested in its main directory."""
_OF_THE_OLD_FILE = (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight)
_SRGB = 1
_EXIF_HEADER = b"Exif\0\0"
_XMP_TAG = 700


def read_orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 when absent or damaged."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF raises almost anything
        return 1
    return found if found in range(1, 9) else 1


def read_exif(image: Image.Image, notes: list[str]) -> bytes | None:
    """EXIF that describes the photograph, without its orientation; None when absent or damaged."""
    try:
        source = image.getexif()
        if not len(source) and len(image.info.get("exif", b"")) > len(_EXIF_HEADER):
            raise ValueError("nothing in it can be read")
        kept = Image.Exif()
        for tag in _DESCRIPTIVE_TAGS:
            if tag in source:
                kept[tag] = source[tag]
        for directory in SUB_DIRECTORIES:
            entries = {tag: value for tag, value in source.get_ifd(directory).items() if tag not in _OF_THE_OLD_FILE}
            if ExifTags.Base.ColorSpace in entries:
                entries[ExifTags.Base.ColorSpace] = _SRGB
            if entries:
                kept[directory] = entries
        return kept.tobytes() if len(kept) else None
    except Exception:  # damaged EXIF raises almost anything
        notes.append("damaged EXIF left out")
        return None


def read_xmp(image: Image.Image, notes: list[str]) -> bytes | None:
    """The XMP packet; None when absent or damaged."""
    packet = image.info.get("xmp") or getattr(image, "tag_v2", {}).get(_XMP_TAG)
    if not packet:
        return None
    try:
        packet = bytes(packet) if isinstance(packet, bytes | tuple) else str(packet).encode()
        describe(packet, None)  # raises what it would raise when the picture is written
    except ValueError:
        notes.append("damaged XMP left out")
        return None
    return packet


def read_dpi(image: Image.Image) -> tuple[float, float] | None:
    """Dots per inch across and down; None when absent or senseless."""
    try:
        x, y = (float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if math.isfinite(x) and math.isfinite(y) and x > 0 and y > 0 else None


def write_exif(
    source: bytes | None, provenance: Provenance | None, dpi: tuple[float, float] | None = None
) -> Image.Exif:
    """EXIF of a color picture: that of the photograph, and the software after the one that was told already.

    Args:
        source: of `read_exif`.
        provenance: names the software.
        dpi: resolution, for a format that has no other place for it.
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
