"""Extended XMP by its specification: digest, total length and offset of each piece, in any order."""

import hashlib
import struct

import pytest

from colorize_core.provenance import xmp
from colorize_core.provenance.extended_xmp import packet_segments, with_extension

DC, NOTE = "http://purl.org/dc/elements/1.1/", "http://ns.adobe.com/xmp/note/"
EXTENSION = xmp.rewrite(None, add={(DC, "dc", "source"): "plate " * 100})
DIGEST = hashlib.md5(EXTENSION).hexdigest().upper()
PACKET = xmp.rewrite(None, add={(NOTE, "xmpNote", "HasExtendedXMP"): DIGEST})


def piece(start: int, stop: int, digest: str = DIGEST) -> bytes:
    place = struct.pack(">II", len(EXTENSION), start)
    return b"http://ns.adobe.com/xmp/extension/\0" + digest.encode() + place + EXTENSION[start:stop]


def test_pieces_in_any_order_are_joined() -> None:
    middle = len(EXTENSION) // 2
    others = [b"Exif\0\0", piece(0, 9, "F" * 32)]
    joined = with_extension(PACKET, [piece(middle, len(EXTENSION)), *others, piece(0, middle)])
    assert xmp.read_property(joined, (DC, "source")) == "plate " * 100


@pytest.mark.parametrize("pieces", [[], [piece(0, 50)], [piece(50, len(EXTENSION))]])
def test_a_missing_piece_is_an_error(pieces: list[bytes]) -> None:
    with pytest.raises(ValueError, match="incomplete"):
        with_extension(PACKET, pieces)


def test_a_packet_without_extension_is_unchanged() -> None:
    assert with_extension(EXTENSION, [piece(0, len(EXTENSION))]) is EXTENSION


def test_a_short_packet_is_one_segment() -> None:
    content = b"http://ns.adobe.com/xap/1.0/\0" + PACKET
    assert packet_segments(PACKET) == b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content
