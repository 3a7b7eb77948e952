import struct

import numpy as np
import pytest
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from colorize_core.photo.decode import decode
from colorize_core.photo.formats import WRITE_FORMATS
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
