import dataclasses
import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, IptcImagePlugin, PngImagePlugin, TiffImagePlugin
from PIL.TiffImagePlugin import IFDRational

from colorize_core.photo.decode import decode, decode_file, open_photo
from colorize_core.photo.encode import encode
from colorize_core.photo.formats import WRITE_FORMATS
from colorize_core.photo.metadata import Captions
from colorize_core.provenance import xmp
from tests.colorize_core.photo.images import RGB, encoded, file, opened

# Pillow warns about the damage that these tests do
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL.*")

every_format = pytest.mark.parametrize("format", sorted(WRITE_FORMATS))
every_source = pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF"])


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


def full_exif(orientation: int = 1, maker_note: bytes = b"note") -> bytes:
    exif = oriented(orientation)
    exif[ExifTags.Base.Make] = "Voigtlander"
    exif[ExifTags.Base.DateTime] = "1954:07:04 17:05:00"
    exif[ExifTags.Base.Copyright] = "The archive"
    detail = exif.get_ifd(ExifTags.IFD.Exif)
    detail[ExifTags.Base.ExposureTime] = IFDRational(1, 125)
    detail[ExifTags.Base.DateTimeOriginal] = "1954:07:04 17:05:00"
    detail[ExifTags.Base.MakerNote] = maker_note
    place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    place[ExifTags.GPS.GPSLatitudeRef] = "N"
    place[ExifTags.GPS.GPSLatitude] = (IFDRational(46), IFDRational(57), IFDRational(3, 2))
    return exif.tobytes()


def rewritten(source: bytes, format: str) -> Image.Image:
    photo = decode(source)
    return opened(encoded(photo.rgb(), format, photo))


@every_format
@every_source
def test_descriptive_exif_is_kept(source: str, format: str) -> None:
    exif = rewritten(file(RGB, source, exif=full_exif()), format).getexif()
    assert exif[ExifTags.Base.Make] == "Voigtlander"
    assert exif[ExifTags.Base.DateTime] == "1954:07:04 17:05:00"
    assert exif[ExifTags.Base.Copyright] == "The archive"


@every_format
@every_source
def test_the_nested_exif_directory_is_kept(source: str, format: str) -> None:
    detail = rewritten(file(RGB, source, exif=full_exif()), format).getexif().get_ifd(ExifTags.IFD.Exif)
    assert float(detail[ExifTags.Base.ExposureTime]) == pytest.approx(1 / 125)
    assert detail[ExifTags.Base.DateTimeOriginal] == "1954:07:04 17:05:00"


@every_format
@every_source
def test_the_gps_directory_is_kept(source: str, format: str) -> None:
    place = rewritten(file(RGB, source, exif=full_exif()), format).getexif().get_ifd(ExifTags.IFD.GPSInfo)
    assert place[ExifTags.GPS.GPSLatitudeRef] == "N"
    assert [float(value) for value in place[ExifTags.GPS.GPSLatitude]] == [46, 57, 1.5]


def resolution(image: Image.Image) -> tuple[float, float]:
    """Resolution as of the format itself, or else of EXIF."""
    exif = image.getexif()
    own = (exif.get(ExifTags.Base.XResolution, 0), exif.get(ExifTags.Base.YResolution, 0))
    x, y = image.info.get("dpi", own)
    return float(x), float(y)


@every_format
@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF"])
def test_the_resolution_is_kept(source: str, format: str) -> None:
    written = rewritten(file(RGB, source, dpi=(300, 150)), format)
    assert resolution(written) == pytest.approx((300, 150), abs=0.02)  # PNG stores whole pixels per meter


@every_format
def test_no_metadata_is_invented(format: str) -> None:
    written = rewritten(file(RGB, "PNG"), format)
    assert resolution(written) in {(0, 0), (1, 1)}  # TIFF requires a resolution; Pillow writes 1 without a unit
    assert ExifTags.Base.Make not in written.getexif()


def test_tags_of_the_file_layout_are_not_copied() -> None:
    """Strip offsets of the source would be wrong in the new file."""
    source = file(RGB, "TIFF", exif=full_exif())
    written = rewritten(source, "jpeg").getexif()
    assert not {ExifTags.Base.StripOffsets, ExifTags.Base.Compression, ExifTags.Base.ImageWidth} & set(written)


def test_exif_too_long_for_jpeg_does_not_fail_the_photograph() -> None:
    """A PNG may hold more than the 64 kB of a JPEG segment, mostly as MakerNote."""
    source = file(RGB, "PNG", exif=full_exif(maker_note=bytes(70_000)))
    assert rewritten(source, "jpeg").size == (96, 64)


DAMAGED_EXIF = {
    "garbage": b"Exif\0\0" + bytes(range(40)),
    "no directory": b"Exif\0\0II*\0\xff\xff\0\0",
    "cut": full_exif()[:40],
    "empty": b"Exif\0\0",
}


@pytest.mark.parametrize("damage", DAMAGED_EXIF)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_does_not_fail_the_photograph(damage: str, format: str) -> None:
    assert decode(file(RGB, format, exif=DAMAGED_EXIF[damage])).pixels.shape == RGB.shape


def exif_directory(*entries: tuple[int, int, int, bytes]) -> bytes:
    """EXIF of entries (tag, type, count, four bytes), valid or not."""
    body = b"".join(struct.pack("<HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + bytes(4)


@pytest.mark.parametrize(
    "wrong",
    [
        (ExifTags.Base.ResolutionUnit, 2, 3, b"ab\0\0"),  # text for a number
        (ExifTags.Base.XResolution, 2, 3, b"ab\0\0"),  # text for a fraction
        (ExifTags.Base.ImageWidth, 11, 1, b"\0\0\x80\x3f"),  # float for an integer
        (ExifTags.IFD.Exif, 3, 1, b"\xff\xff\0\0"),  # a directory beyond the end
    ],
)
def test_an_invalid_tag_does_not_affect_the_orientation(wrong: tuple[int, int, int, bytes]) -> None:
    exif = exif_directory((ExifTags.Base.Orientation, 3, 1, b"\6\0\0\0"), wrong)
    np.testing.assert_array_equal(decode(file(RGB, "PNG", exif=exif)).pixels, np.rot90(RGB, -1))


def test_randomly_damaged_exif_does_not_fail_the_photograph() -> None:
    """500 files with one to five bytes of EXIF replaced."""
    generator = np.random.default_rng(0)
    whole = full_exif(orientation=6)
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(generator.integers(1, 6)):
            damaged[generator.integers(6, len(damaged))] = generator.integers(256)
        photo = decode(file(RGB[:16, :16], "PNG", exif=bytes(damaged)))
        assert opened(encoded(photo.rgb(), "png", photo)).size == (16, 16)


@pytest.mark.parametrize("format", sorted(WRITE_FORMATS))
def test_orientation_is_not_written_again(format: str) -> None:
    source = decode(file(RGB, "JPEG", exif=full_exif(orientation=6)))
    written = opened(encoded(np.ascontiguousarray(np.rot90(RGB, -1)), format, source))
    assert written.getexif().get(ExifTags.Base.Orientation, 1) == 1


# Captions outside EXIF and XMP

RECORDS = b"\x1c\x02\x05\x00\x06Harbor\x1c\x02\x78\x00\x13Two men and a barrel"  # title and caption
RESOURCE = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(RECORDS)) + RECORDS + bytes(len(RECORDS) % 2)
APP13 = b"\xff\xed" + struct.pack(">H", len(RESOURCE) + 16) + b"Photoshop 3.0\0" + RESOURCE


def with_iptc(source: str) -> bytes:
    """A photograph with IPTC-IIM as programs write it in a format."""
    if source == "JPEG":
        return file(RGB, "JPEG", extra=APP13)
    if source == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Raw profile type iptc", f"\niptc\n{len(RESOURCE):8d}\n{RESOURCE.hex()}\n", zip=True)
        return file(RGB, "PNG", pnginfo=text)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    number, value = (33723, RECORDS) if source == "TIFF" else (34377, RESOURCE)
    tags.tagtype[number] = 7
    tags[number] = value
    return file(RGB, "TIFF", tiffinfo=tags)


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF", "TIFF, resources"])
def test_iptc_is_kept(source: str, format: str) -> None:
    photo = decode(with_iptc(source))
    written = encoded(photo.rgb(), format, photo)
    assert decode(written).captions.iptc == RECORDS
    if format != "png":
        assert IptcImagePlugin.getiptcinfo(opened(written))[2, 5] == b"Harbor"


def test_iptc_in_little_endian_words_is_kept() -> None:
    words = struct.unpack("<10I", RECORDS.ljust(40, b"\0"))
    sink = io.BytesIO()
    tifffile.imwrite(sink, RGB, photometric="rgb", extratags=[(33723, "I", 10, words, True)])
    assert decode(sink.getvalue()).captions.iptc == RECORDS


def test_a_comment_is_kept() -> None:
    photo = decode(file(RGB, "JPEG", comment=b"Plate 12, verso"))
    assert opened(encoded(photo.rgb(), "jpeg", photo)).info["comment"] == b"Plate 12, verso"
    assert opened(encoded(photo.rgb(), "png", photo)).info["Comment"] == "Plate 12, verso"


def test_png_text_is_kept_in_png() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "Harbor")
    text.add_itxt("Description", "Zwei Männer und ein Faß")
    photo = decode(file(RGB, "PNG", pnginfo=text))
    kept = opened(encoded(photo.rgb(), "png", photo)).info
    assert (kept["Title"], kept["Description"]) == ("Harbor", "Zwei Männer und ein Faß")


@pytest.mark.parametrize(
    ("format", "lost"),
    [
        ("jpeg", ["PNG text omitted: Title"]),
        ("tiff", ["comment omitted", "PNG text omitted: Title"]),
        ("webp", ["IPTC omitted", "comment omitted", "PNG text omitted: Title"]),
        ("png", []),
    ],
)
def test_captions_that_a_format_cannot_hold_are_named(format: str, lost: list[str]) -> None:
    photo = dataclasses.replace(decode(file(RGB, "PNG")), captions=Captions(RECORDS, b"Plate 12", {"Title": "Harbor"}))
    assert encode(photo.rgb(), format, photo)[1] == lost


@every_format
def test_tags_of_scanning_programs_are_kept(format: str) -> None:
    exif = Image.Exif()
    texts = {269: "Box 7", 285: "Page 3", 316: "scanner-2"}
    for tag, value in texts.items():
        exif[tag] = value
    exif[0x9C9B] = "Hafen".encode("utf-16-le")
    kept = rewritten(file(RGB, "TIFF", exif=exif), format).getexif()
    assert {tag: kept[tag] for tag in texts} == texts
    assert bytes(kept[0x9C9B]).decode("utf-16-le").rstrip("\0") == "Hafen"


@pytest.mark.parametrize("block", [b"\0garbage", RECORDS[3:]])
def test_damaged_captions_are_noted_and_do_not_fail_the_photograph(block: bytes) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[33723] = 7
    tags[33723] = block
    assert decode(file(RGB, "TIFF", tiffinfo=tags)).notes == ["damaged captions omitted"]


DC = "http://purl.org/dc/elements/1.1/"
INSIDE = xmp.rewrite(None, add={(DC, "dc", "source"): "plate 17", (DC, "dc", "rights"): "unknown"})
BESIDE = xmp.rewrite(None, add={(DC, "dc", "rights"): "public domain"})


@pytest.mark.parametrize(("inside", "source"), [(INSIDE, "plate 17"), (None, None)])
def test_a_sidecar_counts_before_the_packet_in_the_photograph(inside: bytes | None, source: str | None) -> None:
    options = {"xmp": inside} if inside else {}
    photo = decode_file(open_photo(file(RGB, "JPEG", **options), sidecar=BESIDE))
    assert xmp.read_property(photo.xmp, (DC, "rights")) == "public domain"
    assert xmp.read_property(photo.xmp, (DC, "source")) == source
    assert photo.notes == []


def test_a_damaged_sidecar_is_omitted_with_a_note() -> None:
    photo = decode_file(open_photo(file(RGB, "JPEG", xmp=INSIDE), sidecar=b"<rdf"))
    assert xmp.read_property(photo.xmp, (DC, "rights")) == "unknown"
    assert photo.notes == ["damaged XMP sidecar omitted"]
