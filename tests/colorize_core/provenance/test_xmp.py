import xml.etree.ElementTree as ET

import pytest

from colorize_core.provenance.xmp import RDF, merge, read_property, rewrite, split

DC, XMP, TIFF = "http://purl.org/dc/elements/1.1/", "http://ns.adobe.com/xap/1.0/", "http://ns.adobe.com/tiff/1.0/"
PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">
 <rdf:Description rdf:about="uuid:7" xmlns:dc="{DC}" xmlns:tiff="{TIFF}" tiff:Orientation="6" tiff:Make="Zeiss">
  <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Zürich &amp; lake</rdf:li></rdf:Alt></dc:title>
 </rdf:Description>
 <rdf:Description rdf:about="uuid:7" xmlns:xmp="{XMP}"><xmp:CreatorTool>SilverFast</xmp:CreatorTool></rdf:Description>
</rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>""".encode()


def descriptions(packet: bytes) -> list[ET.Element]:
    return ET.fromstring(packet).findall(f"{{{RDF}}}RDF/{{{RDF}}}Description")


def test_other_contents_of_a_packet_are_kept() -> None:
    written = rewrite(PACKET, add={(DC, "dc", "source"): "plate"})
    first, second, _ = descriptions(written)
    assert first.find(f"{{{DC}}}title").find(f".//{{{RDF}}}li").text == "Zürich & lake"
    assert first.get(f"{{{TIFF}}}Make") == "Zeiss"
    assert second.find(f"{{{XMP}}}CreatorTool").text == "SilverFast"


def test_prefixes_stay_as_they_were() -> None:
    assert b"<dc:title>" in rewrite(PACKET)


@pytest.mark.parametrize("wanted", [(TIFF, "Orientation"), (XMP, "CreatorTool")])
def test_attributes_and_elements_are_removed(wanted: tuple[str, str]) -> None:
    assert read_property(PACKET, wanted)
    assert read_property(rewrite(PACKET, [wanted]), wanted) is None


def test_an_added_property_replaces_the_earlier_one() -> None:
    written = rewrite(PACKET, add={(XMP, "xmp", "CreatorTool"): 'one "tool" <&>'})
    assert b"SilverFast" not in written
    assert descriptions(written)[-1].get(f"{{{XMP}}}CreatorTool") == 'one "tool" <&>'


def test_added_properties_are_about_the_same_resource() -> None:
    written = rewrite(PACKET, add={(DC, "dc", "source"): "plate"})
    assert {one.get(f"{{{RDF}}}about") for one in descriptions(written)} == {"uuid:7"}


def test_a_packet_can_be_created() -> None:
    written = rewrite(None, add={(DC, "dc", "source"): "plate"})
    assert [one.get(f"{{{DC}}}source") for one in descriptions(written)] == ["plate"]
    assert written.startswith(b'<?xpacket begin="\xef\xbb\xbf"')


def test_rewriting_is_idempotent() -> None:
    add = {(DC, "dc", "source"): "plate"}
    once = rewrite(PACKET, add=add)
    assert len(descriptions(rewrite(once, add=add))) <= len(descriptions(once)) + 1
    assert rewrite(once, add=add).count(b"plate") == 1


BOMB = b'<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
DAMAGED = {
    "nothing": b"",
    "no XML": b"hello",
    "cut": PACKET[:300],
    "no RDF": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
    "no UTF-8": PACKET.replace("ü".encode(), b"\xfc"),
    "a document type": BOMB + PACKET,
    "nested too deeply": PACKET.replace(b"Zeiss", b"").replace(
        b"</dc:title>", b"<a>" * 5000 + b"</a>" * 5000 + b"</dc:title>"
    ),
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_packets_raise_value_error(name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        rewrite(DAMAGED[name])


def test_a_merged_packet_has_the_properties_of_both_with_their_prefixes() -> None:
    other = (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:dc="{DC}"><rdf:RDF xmlns:rdf="{RDF}">'
        '<rdf:Description rdf:about="uuid:7"><dc:source>plate</dc:source></rdf:Description></rdf:RDF></x:xmpmeta>'
    )
    merged = merge(PACKET, other.encode())
    assert read_property(merged, (DC, "source")) == "plate"
    assert read_property(merged, (XMP, "CreatorTool")) == "SilverFast"
    assert read_property(rewrite(merged), (DC, "source")) == "plate"


def test_of_two_values_the_merged_one_counts() -> None:
    other = rewrite(None, add={(XMP, "xmp", "CreatorTool"): "darktable", (TIFF, "tiff", "Make"): "Leica"})
    merged = merge(PACKET, other)
    assert b"SilverFast" not in merged
    assert b"Zeiss" not in merged
    assert read_property(merged, (XMP, "CreatorTool")) == "darktable"
    assert read_property(merged, (TIFF, "Make")) == "Leica"
    assert "Zürich &amp; lake".encode() in merged


@pytest.mark.parametrize("limit", [700, 800, 1200])
def test_what_is_split_off_is_whole_again_after_merging(limit: int) -> None:
    packet = rewrite(PACKET, add={(DC, "dc", "source"): "x" * 400})
    shortened, rest = split(packet, limit)
    assert len(shortened) <= limit
    merged = merge(shortened, rest)
    for wanted, value in (((DC, "source"), "x" * 400), ((XMP, "CreatorTool"), "SilverFast"), ((TIFF, "Make"), "Zeiss")):
        assert read_property(merged, wanted) == value
        assert (read_property(shortened, wanted) is None) != (read_property(rest, wanted) is None)
    assert "Zürich &amp; lake".encode() in merged


def test_a_packet_without_properties_cannot_be_shortened() -> None:
    with pytest.raises(ValueError, match="cannot be shortened"):
        split(rewrite(None), 10)
