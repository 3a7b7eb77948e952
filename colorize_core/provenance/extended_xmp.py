"""XMP of JPEG files, whose segments are too short for a large packet (XMP Specification Part 3, section 1.1.3).

The packet then names, by its property HasExtendedXMP, an extension that further segments hold in pieces.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator

from colorize_core.provenance import xmp

EXTENDED_XMP = ("http://ns.adobe.com/xmp/note/", "HasExtendedXMP")
_PACKET = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_DIGEST_BYTES = 32  # MD5 in hexadecimal
_HEADER_BYTES = _DIGEST_BYTES + 8
_MAX_PACKET = 65502
_MAX_PIECE = 65400
_RESERVED = 400  # for the property that names the extension


def with_extension(packet: bytes, segments: Iterable[bytes]) -> bytes:
    """Return a packet with the properties of its extension; unchanged without one.

    Args:
        packet: packet of a JPEG.
        segments: contents of its APP1 segments.

    Raises:
        ValueError: the packet or the extension is damaged, or a piece of the extension is missing.
    """
    if EXTENDED_XMP[1].encode() not in packet:  # most packets, which need not be parsed for it
        return packet
    digest = xmp.read_property(packet, EXTENDED_XMP)
    if not digest:
        return packet
    pieces: dict[int, bytes] = {}
    total = 0
    for segment in segments:
        body = segment.removeprefix(_EXTENSION)
        if len(body) == len(segment) or body[:_DIGEST_BYTES] != digest.encode():
            continue
        total, offset = struct.unpack(">II", body[_DIGEST_BYTES:_HEADER_BYTES])
        pieces[offset] = body[_HEADER_BYTES:]
    extension = b"".join(piece for _, piece in sorted(pieces.items()))
    if not extension or len(extension) != total or hashlib.md5(extension).hexdigest().upper() != digest.upper():
        raise ValueError("the extended XMP is incomplete")
    return xmp.merge(packet, extension)


def packet_segments(packet: bytes) -> bytes:
    """Return the APP1 segments that hold a packet of any length.

    Raises:
        ValueError: the packet is damaged, or single properties are too long.
    """
    if len(packet) <= _MAX_PACKET:
        return _segment(_PACKET + packet)
    shortened, extension = xmp.split(packet, _MAX_PACKET - _RESERVED)
    digest = hashlib.md5(extension).hexdigest().upper()  # the specification's name for the extension, not for security
    namespace, name = EXTENDED_XMP
    named = xmp.rewrite(shortened, add={(namespace, "xmpNote", name): digest})
    return b"".join([_segment(_PACKET + named), *_extension_segments(extension, digest)])


def _extension_segments(extension: bytes, digest: str) -> Iterator[bytes]:
    for offset in range(0, len(extension), _MAX_PIECE):
        place = struct.pack(">II", len(extension), offset)
        yield _segment(_EXTENSION + digest.encode() + place + extension[offset : offset + _MAX_PIECE])


def _segment(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content
