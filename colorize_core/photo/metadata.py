"""Metadata of photographs: orientation, EXIF, XMP, resolution, captions.

Damaged metadata must not fail the photograph: it is omitted, with a note.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from PIL import ExifTags, Image

from colorize_core.photo.header import TiffMetadata
from colorize_core.provenance.extended_xmp import with_extension
from colorize_core.provenance.record import Provenance, write_xmp
from colorize_core.provenance.xmp import merge

# EXIF tags that describe the photograph. The other tags of the main directory describe the layout of the file (strips,
# compression, size) and would be wrong in the new file.
_DESCRIPTIVE_TAGS = tuple(
    tag.value
    for tag in (
        ExifTags.Base.DocumentName,
        ExifTags.Base.ImageDescription,
        ExifTags.Base.Make,
        ExifTags.Base.Model,
        ExifTags.Base.PageName,
        ExifTags.Base.Software,
        ExifTags.Base.DateTime,
        ExifTags.Base.Artist,
        ExifTags.Base.HostComputer,
        ExifTags.Base.Copyright,
        ExifTags.Base.XPTitle,
        ExifTags.Base.XPComment,
        ExifTags.Base.XPAuthor,
        ExifTags.Base.XPKeywords,
        ExifTags.Base.XPSubject,
    )
)
SUB_DIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
"""Sub-directories of EXIF, nested in its main directory."""
_FILE_TAGS = (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight)
_SRGB = 1
_EXIF_HEADER = b"Exif\0\0"
_XMP_TAG, _PHOTOSHOP_TAG = 700, 34377
_IPTC_RESOURCE = 0x0404
_RAW_PROFILE = "Raw profile type "  # ImageMagick's convention for PNG text that holds hexadecimal metadata
_NOT_TEXT = ("XML:com.adobe.xmp",)
_RECORD = 0x1C  # first byte of each record of IPTC-IIM


@dataclass(frozen=True)
class Captions:
    """Texts of archivists outside EXIF and XMP."""

    iptc: bytes | None = None
    """Records of IPTC-IIM."""
    comment: bytes | None = None
    """Comment of a JPEG or GIF."""
    text: Mapping[str, str] = field(default_factory=dict)
    """Texts of a PNG by keyword."""


def read_orientation(image: Image.Image | TiffMetadata) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if it is absent or damaged."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF raises almost any exception
        return 1
    return found if found in range(1, 9) else 1


def read_exif(image: Image.Image | TiffMetadata, notes: list[str]) -> bytes | None:
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


def read_xmp(image: Image.Image | TiffMetadata, notes: list[str], sidecar: bytes | None = None) -> bytes | None:
    """Return the XMP packet with its extension in a JPEG, and with the properties of a sidecar; None without any.

    What is damaged is omitted, with a note.
    """
    packet = image.info.get("xmp") or getattr(image, "tag_v2", {}).get(_XMP_TAG)
    if packet:
        packet = _checked(bytes(packet) if isinstance(packet, bytes | tuple) else str(packet).encode(), "XMP", notes)
    if packet:
        segments = (content for name, content in getattr(image, "applist", ()) if name == "APP1")
        try:
            packet = with_extension(packet, segments)
        except (ValueError, struct.error):
            notes.append("damaged extended XMP omitted")
    beside = _checked(sidecar, "XMP sidecar", notes) if sidecar else None
    return merge(packet, beside) if packet and beside else packet or beside


def _checked(packet: bytes, name: str, notes: list[str]) -> bytes | None:
    """Return a packet that can be written again; None, with a note, if it is damaged."""
    try:
        write_xmp(packet, None)
    except ValueError:
        notes.append(f"damaged {name} omitted")
        return None
    return packet


def read_captions(image: Image.Image | TiffMetadata, notes: list[str]) -> Captions:
    """Return IPTC-IIM, comment and PNG text; empty with a note if they are damaged."""
    try:
        comment = image.info.get("comment") or None
        texts = {
            str(keyword): str(value)
            for keyword, value in getattr(image, "text", {}).items()
            if keyword not in _NOT_TEXT and not keyword.startswith(_RAW_PROFILE)
        }
        iptc = _read_iptc(image)
        if iptc is not None and iptc[:1] != bytes((_RECORD,)):
            raise ValueError("not a record")
        return Captions(iptc, comment.encode() if isinstance(comment, str) else comment, texts)
    except Exception:  # damaged blocks raise almost any exception
        notes.append("damaged captions omitted")
        return Captions()


def _read_iptc(image: Image.Image | TiffMetadata) -> bytes | None:
    if isinstance(image, TiffMetadata):
        block = None if image.iptc else image.getexif().get(_PHOTOSHOP_TAG)
        records = image.iptc if block is None else _resources(bytes(block)).get(_IPTC_RESOURCE)
        return None if records is None else records.rstrip(b"\0")
    if resources := image.info.get("photoshop"):
        return resources.get(_IPTC_RESOURCE)
    for name in ("iptc", "8bim"):
        if raw := image.info.get(f"{_RAW_PROFILE}{name}"):
            block = bytes.fromhex("".join(str(raw).split()[2:]))
            return block if block[:1] == bytes((_RECORD,)) else _resources(block).get(_IPTC_RESOURCE)
    return None


def _resources(block: bytes) -> dict[int, bytes]:
    """Return the image resources of Photoshop by number."""
    found, position = {}, 0
    while block[position : position + 4] == b"8BIM":
        number = int.from_bytes(block[position + 4 : position + 6])
        name = block[position + 6] + 1
        start = position + 6 + name + name % 2
        size = int.from_bytes(block[start : start + 4])
        found[number] = block[start + 4 : start + 4 + size]
        position = start + 4 + size + size % 2
    return found


def photoshop_segment(iptc: bytes) -> bytes:
    """Return the APP13 segment of a JPEG that holds IPTC-IIM of at most 65,500 bytes."""
    resource = b"8BIM" + struct.pack(">HHI", _IPTC_RESOURCE, 0, len(iptc)) + iptc + bytes(len(iptc) % 2)
    body = b"Photoshop 3.0\0" + resource
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


def raw_profile(iptc: bytes) -> tuple[str, str]:
    """Return keyword and text of the PNG text that holds IPTC-IIM, by ImageMagick's convention."""
    return f"{_RAW_PROFILE}iptc", f"\niptc\n{len(iptc):8d}\n{iptc.hex()}\n"


def read_dpi(image: Image.Image | TiffMetadata) -> tuple[float, float] | None:
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
