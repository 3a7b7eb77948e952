import io
import struct
import subprocess
import sys

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from colorize_core.photo.decode import Photo, PhotoError, decode
from colorize_core.photo.encode import encode, output_depth
from colorize_core.photo.formats import WRITE_FORMATS
from colorize_core.photo.options import EncodingOptions
from colorize_core.provenance import xmp
from colorize_core.provenance.record import ENHANCED, Provenance
from colorize_core.status import Status
from tests.colorize_core.photo.images import ALPHA, ALPHA16, GRAY, LOSSY, RGB, encoded, file, opened

RGB16 = RGB.astype(np.uint16) * 251 + np.arange(96, dtype=np.uint16)[:, None]
MADE = Provenance("colorize 9.9", "resnet_unet", "ab" * 32)
DC = "http://purl.org/dc/elements/1.1/"
PACKET = xmp.rewrite(None, add={(DC, "dc", "source"): "glass plate 17"})

every_format = pytest.mark.parametrize("format", sorted(WRITE_FORMATS))
lossless = pytest.mark.parametrize("format", ["png", "tiff"])


def channels(data: bytes) -> np.ndarray:
    """All channels at full depth, by libpng and by tifffile."""
    return imagecodecs.png_decode(data) if data.startswith(b"\x89PNG") else tifffile.imread(io.BytesIO(data))


def packet_of(image: Image.Image) -> bytes:
    found = image.info.get("xmp") or image.tag_v2[700]
    return bytes(found)


# Pixels


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_lossless_formats_keep_every_pixel(format: str) -> None:
    np.testing.assert_array_equal(np.asarray(opened(encoded(RGB, format))), RGB)


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_lossy_formats_keep_pixels_approximately(format: str) -> None:
    difference = np.abs(np.asarray(opened(encoded(RGB, format, quality=95))).astype(int) - RGB)
    assert difference.mean() < 2 * LOSSY  # chroma at half the resolution


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_lower_quality_gives_a_smaller_file(format: str) -> None:
    small, large = (len(encoded(RGB, format, quality=quality)) for quality in (50, 95))
    assert small < large


@every_format
def test_the_file_has_the_given_format(format: str) -> None:
    assert opened(encoded(RGB, format)).format == WRITE_FORMATS[format]


@every_format
def test_the_file_is_tagged_srgb(format: str) -> None:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(opened(encoded(RGB, format)).info["icc_profile"]))
    assert "srgb" in ImageCms.getProfileDescription(profile).lower()


@every_format
def test_equal_pixels_give_equal_files(format: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Voigtlander"
    source = decode(file(RGB, "JPEG", exif=exif, dpi=(300, 300)))
    assert encoded(RGB, format, source) == encoded(RGB.copy(), format, source)


def test_two_processes_write_equal_files() -> None:
    """LittleCMS puts the time into profiles."""
    code = (
        "import hashlib, numpy; from colorize_core.photo.encode import encode; "
        "rgb = (numpy.arange(768) % 256).astype(numpy.uint8).reshape(16, 16, 3); "
        f"print([hashlib.sha256(encode(rgb, format)[0]).hexdigest() for format in {sorted(WRITE_FORMATS)}])"
    )
    here, there = (subprocess.run([sys.executable, "-c", code], capture_output=True, check=True) for _ in range(2))
    assert here.stdout == there.stdout
    assert len(here.stdout) > 64 * len(WRITE_FORMATS)


@pytest.mark.parametrize("format", ["png", "tiff", "webp"])
def test_alpha_of_the_source_is_written(format: str) -> None:
    source = Photo(GRAY, ALPHA, "PNG")
    np.testing.assert_array_equal(np.asarray(opened(encoded(RGB, format, source)).getchannel("A")), ALPHA)


def test_pixels_under_alpha_are_kept_in_png() -> None:
    written = opened(encoded(RGB, "png", Photo(GRAY, ALPHA, "PNG")))
    np.testing.assert_array_equal(np.asarray(written)[..., :3], RGB)


def test_a_transparent_photograph_is_composited_on_white_in_jpeg() -> None:
    alpha = np.repeat(np.array([0, 255, 128, 255], np.uint8), 24)[None].repeat(64, axis=0)  # whole 8-pixel blocks
    written = np.asarray(opened(encoded(RGB, "jpeg", Photo(GRAY, alpha, "PNG")))).astype(int)
    expected = RGB * (alpha / 255)[..., None] + 255 * (1 - alpha / 255)[..., None]
    assert np.abs(written - expected).mean() < 2 * LOSSY


@every_format
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
def test_the_smallest_images_can_be_written(format: str, size: tuple[int, int]) -> None:
    assert opened(encoded(np.zeros((*size, 3), np.uint8), format)).size == size[::-1]


# 16 bits


@lossless
def test_16_bits_are_written_exactly(format: str) -> None:
    np.testing.assert_array_equal(channels(encoded(RGB16, format)), RGB16)


@lossless
def test_alpha_of_8_bits_is_scaled_to_16(format: str) -> None:
    written = channels(encoded(RGB16, format, Photo(RGB16, ALPHA, "PNG")))
    np.testing.assert_array_equal(written[..., 3], ALPHA.astype(np.uint16) * 257)
    np.testing.assert_array_equal(written[..., :3], RGB16)


@lossless
def test_alpha_of_16_bits_is_scaled_to_8(format: str) -> None:
    written = channels(encoded(RGB, format, Photo(RGB, ALPHA16, "PNG")))
    np.testing.assert_array_equal(written[..., 3], np.floor(ALPHA16 / 257 + 0.5))


@lossless
def test_16_bits_survive_writing_and_reading(format: str) -> None:
    photo = decode(encoded(RGB16, format, Photo(RGB16, ALPHA16, "PNG")))
    np.testing.assert_array_equal(photo.pixels, RGB16)
    np.testing.assert_array_equal(photo.alpha, ALPHA16)


@lossless
def test_metadata_is_the_same_at_both_depths(format: str) -> None:
    source = Photo(RGB, None, "PNG", dpi=(300, 150), xmp=PACKET)
    eight, sixteen = (opened(encoded(pixels, format, source, provenance=MADE)) for pixels in (RGB, RGB16))
    assert sixteen.info["icc_profile"] == eight.info["icc_profile"]
    assert sixteen.info["dpi"] == eight.info["dpi"] == pytest.approx((300, 150), abs=0.02)
    assert packet_of(sixteen) == packet_of(eight)
    assert dict(sixteen.getexif())[ExifTags.Base.Software] == "colorize 9.9"


@pytest.mark.parametrize(
    ("format", "bits", "depth", "expected"),
    [
        ("png", 16, "same", 16),
        ("tiff", 16, "same", 16),
        ("jpeg", 16, "same", 8),
        ("webp", 16, "same", 8),
        ("png", 16, 8, 8),
        ("png", 8, "same", 8),
    ],
)
def test_16_bits_are_kept_if_source_and_format_have_them(format: str, bits: int, depth: object, expected: int) -> None:
    photo = Photo(RGB if bits == 8 else RGB16, None, "PNG")
    assert output_depth(EncodingOptions(bit_depth=depth), format, photo) == expected


# TIFF and PNG in other libraries


@pytest.mark.parametrize("pixels", [RGB, RGB16, np.dstack((RGB, ALPHA))])
def test_a_tiff_of_many_strips_is_read_by_other_libraries(pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("colorize_core.runtime.strips._PIXELS_PER_STRIP", 96 * 5)
    alpha = pixels[..., 3] if pixels.shape[2] == 4 else None
    written = encoded(pixels[..., :3], "tiff", Photo(RGB, alpha, "PNG"))
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(written)), pixels)
    np.testing.assert_array_equal(imagecodecs.tiff_decode(written), pixels)  # libtiff
    if pixels.dtype == np.uint8:
        np.testing.assert_array_equal(np.asarray(opened(written)), pixels)


def test_a_tiff_with_nested_exif_is_compressed() -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "1954:07:04 17:05:00"
    flat = np.full((200, 200, 3), 90, np.uint8)
    written = encoded(flat, "tiff", Photo(flat, None, "JPEG", exif=exif.tobytes()))
    assert len(written) < flat.size / 10
    detail = opened(written).getexif().get_ifd(ExifTags.IFD.Exif)
    assert detail[ExifTags.Base.DateTimeOriginal] == "1954:07:04 17:05:00"


def test_the_chunks_of_a_png_are_in_the_order_of_its_standard() -> None:
    written = encoded(RGB16, "png", Photo(RGB16, None, "PNG", dpi=(300, 300), xmp=PACKET), provenance=MADE)
    names, start = [], 8
    while start < len(written):
        (length,) = struct.unpack(">I", written[start : start + 4])
        names.append(written[start + 4 : start + 8].decode())
        start += 12 + length
    assert names[0] == "IHDR"
    assert names[-1] == "IEND"
    before = names[1 : names.index("IDAT")]
    assert set(before) == {"iCCP", "iTXt", "pHYs", "eXIf"}
    assert set(names[len(before) + 1 : -1]) == {"IDAT"}


# Settings


@lossless
def test_higher_compression_gives_a_smaller_file_of_the_same_pixels(format: str) -> None:
    none, most = (encoded(RGB, format, compression=level) for level in (0, 9))
    assert len(most) < len(none)
    np.testing.assert_array_equal(channels(most), channels(none))


@pytest.mark.parametrize(("subsampling", "factors"), [("4:4:4", (1, 1)), ("4:2:0", (2, 2))])
def test_jpeg_chroma_is_subsampled_as_configured(subsampling: str, factors: tuple[int, int]) -> None:
    image = opened(encoded(RGB, "jpeg", subsampling=subsampling))
    assert image.layer[0][1:3] == factors


# Metadata


@every_format
def test_a_packet_is_kept_and_provenance_added(format: str) -> None:
    packet = packet_of(opened(encoded(RGB, format, Photo(RGB, None, "JPEG", xmp=PACKET), provenance=MADE)))
    for text in (b"glass plate 17", ENHANCED.encode(), b"resnet_unet", b"sha256:" + b"ab" * 32):
        assert text in packet


@every_format
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_packet_of_every_format_is_read(source: str, format: str) -> None:
    sink = io.BytesIO()
    if source == "TIFF":
        tifffile.imwrite(sink, RGB, photometric="rgb", extratags=[(700, "B", len(PACKET), PACKET, True)])
    elif source == "PNG":
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", PACKET.decode())
        Image.fromarray(RGB).save(sink, "PNG", pnginfo=text)
    else:
        Image.fromarray(RGB).save(sink, source, xmp=PACKET)
    photo = decode(sink.getvalue())
    assert photo.notes == []
    assert b"glass plate 17" in packet_of(opened(encoded(photo.rgb(), format, photo)))


@every_format
def test_the_software_is_recorded_in_exif(format: str) -> None:
    assert opened(encoded(RGB, format, provenance=MADE)).getexif()[ExifTags.Base.Software] == "colorize 9.9"


def test_the_software_is_appended_to_that_of_the_scan() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = "SilverFast 8"
    written = opened(encoded(RGB, "jpeg", Photo(RGB, None, "JPEG", exif=exif.tobytes()), provenance=MADE))
    assert written.getexif()[ExifTags.Base.Software] == "SilverFast 8; colorize 9.9"


@every_format
def test_provenance_does_not_change_the_pixels(format: str) -> None:
    plain, tagged = (opened(encoded(RGB, format, provenance=made)) for made in (None, MADE))
    np.testing.assert_array_equal(np.asarray(plain), np.asarray(tagged))


def test_a_packet_too_long_for_a_segment_of_jpeg_has_an_extension() -> None:
    long = xmp.rewrite(PACKET, add={(DC, "dc", "description"): "x" * 200_000})
    photo = Photo(RGB, None, "PNG", xmp=long)
    written, losses = encode(RGB, "jpeg", photo, provenance=MADE)
    packet = packet_of(opened(written))
    assert losses == []
    assert ENHANCED.encode() in packet  # readers without extended XMP see it
    assert b"glass plate 17" in packet
    assert b"xxx" not in packet
    again = decode(written)
    assert again.notes == []
    assert xmp.read_property(again.xmp, (DC, "description")) == "x" * 200_000
    assert xmp.read_property(again.xmp, (DC, "source")) == "glass plate 17"


def test_losses_of_jpeg_are_returned_with_the_file() -> None:
    """A PNG may hold more EXIF than the 64 kB of a JPEG segment, mostly as MakerNote."""
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] = bytes(70_000)
    photo = Photo(RGB, ALPHA, "PNG", exif=exif.tobytes())
    written, losses = encode(RGB, "jpeg", photo)
    assert losses == ["transparency composited on white", "EXIF too long for JPEG omitted"]
    assert not opened(written).getexif()
    assert encode(RGB, "png", photo)[1] == []


@every_format
def test_exif_is_serialized_at_most_once(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    serialize = Image.Exif.tobytes

    def counting_tobytes(self: Image.Exif, offset: int = 8) -> bytes:
        calls.append(1)
        return serialize(self, offset)

    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Voigtlander"
    photo = Photo(RGB, None, "JPEG", exif=exif.tobytes())
    monkeypatch.setattr(Image.Exif, "tobytes", counting_tobytes)
    encode(RGB, format, photo, provenance=MADE)
    assert len(calls) <= 1


def test_hostile_metadata_does_not_fail_the_photograph() -> None:
    """XMP that is not XML, an entity bomb or binary, and random EXIF are omitted, noted and replaced by ours."""
    bomb = b'<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>' + PACKET
    for hostile in (b"hello", bomb, bytes(range(256)), PACKET[:200]):
        sink = io.BytesIO()
        Image.fromarray(RGB).save(sink, "JPEG", xmp=hostile, exif=b"Exif\0\0" + bytes(range(40)))
        photo = decode(sink.getvalue())
        assert len(photo.notes) == 2
        written = opened(encoded(photo.rgb(), "jpeg", photo, provenance=MADE))
        assert ENHANCED.encode() in packet_of(written)
        assert written.getexif()[ExifTags.Base.Software] == "colorize 9.9"


def test_size_and_color_space_of_the_source_file_are_not_copied() -> None:
    exif = Image.Exif()
    detail = exif.get_ifd(ExifTags.IFD.Exif)
    detail[ExifTags.Base.ColorSpace], detail[ExifTags.Base.ExifImageWidth] = 65535, 4000
    sink = io.BytesIO()
    Image.fromarray(RGB).save(sink, "JPEG", exif=exif)
    photo = decode(sink.getvalue())
    written = opened(encoded(photo.rgb(), "jpeg", photo)).getexif().get_ifd(ExifTags.IFD.Exif)
    assert written[ExifTags.Base.ColorSpace] == 1  # sRGB, as the pixels are
    assert ExifTags.Base.ExifImageWidth not in written


def test_an_image_larger_than_its_format_allows_is_unsupported() -> None:
    with pytest.raises(PhotoError) as caught:
        encoded(np.zeros((1, 16384, 3), np.uint8), "webp")
    assert caught.value.status is Status.UNSUPPORTED
