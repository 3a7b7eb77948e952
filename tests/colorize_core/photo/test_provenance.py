import pytest

from colorize_core.photo import xmp
from colorize_core.photo.provenance import Provenance, describe

MADE = Provenance("colorize 9.9", "resnet_unet", "ab" * 32)
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
XMP = "http://ns.adobe.com/xap/1.0/"
TIFF = "http://ns.adobe.com/tiff/1.0/"


def test_a_picture_says_that_an_algorithm_enhanced_it_and_which() -> None:
    packet = describe(None, MADE)
    assert packet is not None
    assert b"http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicallyEnhanced" in packet
    for told in (b"colorize 9.9", b"resnet_unet", b"sha256:" + b"ab" * 32):
        assert told in packet


def test_the_source_type_of_the_gray_scan_is_replaced() -> None:
    scan = "http://cv.iptc.org/newscodes/digitalsourcetype/print"
    packet = describe(xmp.rewrite(None, add={(IPTC, "Iptc4xmpExt", "DigitalSourceType"): scan}), MADE)
    assert packet is not None
    assert packet.count(b"newscodes/digitalsourcetype") == 1


@pytest.mark.parametrize(("earlier", "expected"), [(None, b"colorize 9.9"), ("SilverFast", b"SilverFast")])
def test_the_first_tool_stays_the_creator(earlier: str | None, expected: bytes) -> None:
    source = xmp.rewrite(None, add={(XMP, "xmp", "CreatorTool"): earlier}) if earlier else None
    packet = describe(source, MADE)
    assert packet is not None
    assert b'xmp:CreatorTool="' + expected + b'"' in packet


def test_what_was_of_the_old_file_is_not_said_of_the_new_one() -> None:
    turned = xmp.rewrite(None, add={(TIFF, "tiff", "Orientation"): "6", (TIFF, "tiff", "Make"): "Zeiss"})
    packet = describe(turned, None)
    assert packet is not None
    assert not xmp.has_property(packet, (TIFF, "Orientation"))
    assert xmp.has_property(packet, (TIFF, "Make"))


def test_nothing_is_said_where_there_is_nothing_to_say() -> None:
    assert describe(None, None) is None
