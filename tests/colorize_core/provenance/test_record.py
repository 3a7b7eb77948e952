import pytest

from colorize_core.provenance import xmp
from colorize_core.provenance.record import Provenance, write_xmp

MADE = Provenance("colorize 9.9", "resnet_unet", "ab" * 32)
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
XMP = "http://ns.adobe.com/xap/1.0/"
TIFF = "http://ns.adobe.com/tiff/1.0/"


def test_the_packet_names_the_kind_of_change_the_software_and_the_model() -> None:
    packet = write_xmp(None, MADE)
    assert packet is not None
    assert b"http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicallyEnhanced" in packet
    for text in (b"colorize 9.9", b"resnet_unet", b"sha256:" + b"ab" * 32):
        assert text in packet


def test_the_source_type_of_the_gray_scan_is_replaced() -> None:
    scan = "http://cv.iptc.org/newscodes/digitalsourcetype/print"
    packet = write_xmp(xmp.rewrite(None, add={(IPTC, "Iptc4xmpExt", "DigitalSourceType"): scan}), MADE)
    assert packet is not None
    assert packet.count(b"newscodes/digitalsourcetype") == 1


@pytest.mark.parametrize(("earlier", "expected"), [(None, b"colorize 9.9"), ("SilverFast", b"SilverFast")])
def test_an_existing_creator_tool_is_kept(earlier: str | None, expected: bytes) -> None:
    source = xmp.rewrite(None, add={(XMP, "xmp", "CreatorTool"): earlier}) if earlier else None
    packet = write_xmp(source, MADE)
    assert packet is not None
    assert b'xmp:CreatorTool="' + expected + b'"' in packet


def test_properties_of_the_source_file_are_removed() -> None:
    turned = xmp.rewrite(None, add={(TIFF, "tiff", "Orientation"): "6", (TIFF, "tiff", "Make"): "Zeiss"})
    packet = write_xmp(turned, None)
    assert packet is not None
    assert xmp.read_property(packet, (TIFF, "Orientation")) is None
    assert xmp.read_property(packet, (TIFF, "Make")) == "Zeiss"


def test_without_metadata_there_is_no_packet() -> None:
    assert write_xmp(None, None) is None
