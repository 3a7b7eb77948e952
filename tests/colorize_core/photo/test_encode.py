import io
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from skimage import data as skimage_data

from colorize_core.photo import xmp
from colorize_core.photo.decode import Photo, PhotoError, decode
from colorize_core.photo.encode import Encoding, encode, unsupported_features
from colorize_core.photo.formats import WRITE_FORMATS
from colorize_core.photo.provenance import ENHANCED, Provenance

RGB = np.ascontiguousarray(skimage_data.astronaut()[40:104, 180:276])  # 64 x 96, a face
RGB16 = RGB.astype(np.uint16) * 251 + np.arange(96, dtype=np.uint16)[:, None]
ALPHA = np.tile(np.linspace(0, 255, 96).astype(np.uint8), (64, 1))
ALPHA16 = np.tile(np.linspace(0, 65535, 96).astype(np.uint16), (64, 1))
MADE = Provenance("colorize 9.9", "resnet_unet", "ab" * 32)
DC = "http://purl.org/dc/elements/1.1/"
PACKET = xmp.rewrite(None, add={(DC, "dc", "source"): "glass plate 17"})

every_format = pytest.mark.parametrize("format", sorted(WRITE_FORMATS))
lossless = pytest.mark.parametrize("format", ["png", "tiff"])


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def channels(data: bytes) -> np.ndarray:
    """All channels at full depth, by libpng and by tifffile."""
    return imagecodecs.png_decode(data) if data.startswith(b"\x89PNG") else tifffile.imread(io.BytesIO(data))


def packet_of(image: Image.Image) -> bytes:
    found = image.info.get("xmp") or image.tag_v2[700]
    return bytes(found)


# 16 bits


@lossless
def test_16_bits_are_written_exactly(format: str) -> None:
    np.testing.assert_array_equal(channels(encode(RGB16, format)), RGB16)


@lossless
def test_alpha_of_8_bits_is_scaled_to_16(format: str) -> None:
    written = channels(encode(RGB16, format, Photo(RGB16, ALPHA, "PNG")))
    np.testing.assert_array_equal(written[..., 3], ALPHA.astype(np.uint16) * 257)
    np.testing.assert_array_equal(written[..., :3], RGB16)


@lossless
def test_alpha_of_16_bits_is_scaled_to_8(format: str) -> None:
    written = channels(encode(RGB, format, Photo(RGB, ALPHA16, "PNG")))
    np.testing.assert_array_equal(written[..., 3], np.floor(ALPHA16 / 257 + 0.5))


@lossless
def test_a_file_of_16_bits_is_read_again_as_it_was(format: str) -> None:
    photo = decode(encode(RGB16, format, Photo(RGB16, ALPHA16, "PNG")))
    np.testing.assert_array_equal(photo.pixels, RGB16)
    np.testing.assert_array_equal(photo.alpha, ALPHA16)


@lossless
def test_metadata_is_the_same_at_both_depths(format: str) -> None:
    source = Photo(RGB, None, "PNG", dpi=(300, 150), xmp=PACKET)
    narrow, wide = (opened(encode(pixels, format, source, provenance=MADE)) for pixels in (RGB, RGB16))
    assert wide.info["icc_profile"] == narrow.info["icc_profile"]
    assert wide.info["dpi"] == narrow.info["dpi"] == pytest.approx((300, 150), abs=0.02)
    assert packet_of(wide) == packet_of(narrow)
    assert dict(wide.getexif())[ExifTags.Base.Software] == "colorize 9.9"


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
def test_16_bits_are_kept_where_they_were_and_can_be(format: str, bits: int, depth: object, expected: int) -> None:
    photo = Photo(RGB if bits == 8 else RGB16, None, "PNG")
    assert Encoding(bit_depth=depth).depth(format, photo) == expected


# TIFF and PNG as others read them


@pytest.mark.parametrize("pixels", [RGB, RGB16, np.dstack((RGB, ALPHA))])
def test_a_tiff_of_many_strips_is_read_by_others(pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("colorize_core.runtime.strips._PIXELS_PER_STRIP", 96 * 5)
    alpha = pixels[..., 3] if pixels.shape[2] == 4 else None
    written = encode(pixels[..., :3], "tiff", Photo(RGB, alpha, "PNG"))
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(written)), pixels)
    np.testing.assert_array_equal(imagecodecs.tiff_decode(written), pixels)  # libtiff
    if pixels.dtype == np.uint8:
        np.testing.assert_array_equal(np.asarray(opened(written)), pixels)


def test_a_tiff_with_nested_exif_is_compressed() -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "1954:07:04 17:05:00"
    flat = np.full((200, 200, 3), 90, np.uint8)
    written = encode(flat, "tiff", Photo(flat, None, "JPEG", exif=exif.tobytes()))
    assert len(written) < flat.size / 10
    detail = opened(written).getexif().get_ifd(ExifTags.IFD.Exif)
    assert detail[ExifTags.Base.DateTimeOriginal] == "1954:07:04 17:05:00"


def test_the_chunks_of_a_png_are_in_the_order_its_standard_asks_for() -> None:
    written = encode(RGB16, "png", Photo(RGB16, None, "PNG", dpi=(300, 300), xmp=PACKET), provenance=MADE)
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
def test_more_compression_is_a_smaller_file_of_the_same_pixels(format: str) -> None:
    none, most = (encode(RGB, format, encoding=Encoding(compression=level)) for level in (0, 9))
    assert len(most) < len(none)
    np.testing.assert_array_equal(channels(most), channels(none))


@pytest.mark.parametrize(("subsampling", "factors"), [("4:4:4", (1, 1)), ("4:2:0", (2, 2))])
def test_chroma_of_a_jpeg_is_subsampled_as_asked_for(subsampling: str, factors: tuple[int, int]) -> None:
    image = opened(encode(RGB, "jpeg", encoding=Encoding(subsampling=subsampling)))
    assert image.layer[0][1:3] == factors


# Metadata


@every_format
def test_a_packet_is_kept_and_provenance_added(format: str) -> None:
    packet = packet_of(opened(encode(RGB, format, Photo(RGB, None, "JPEG", xmp=PACKET), provenance=MADE)))
    for told in (b"glass plate 17", ENHANCED.encode(), b"resnet_unet", b"sha256:" + b"ab" * 32):
        assert told in packet


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
    assert b"glass plate 17" in packet_of(opened(encode(photo.rgb(), format, photo)))


@every_format
def test_the_software_is_told_in_exif(format: str) -> None:
    assert opened(encode(RGB, format, provenance=MADE)).getexif()[ExifTags.Base.Software] == "colorize 9.9"


def test_the_software_of_the_scan_is_told_first() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = "SilverFast 8"
    written = opened(encode(RGB, "jpeg", Photo(RGB, None, "JPEG", exif=exif.tobytes()), provenance=MADE))
    assert written.getexif()[ExifTags.Base.Software] == "SilverFast 8; colorize 9.9"


@every_format
def test_provenance_is_not_drawn_into_the_picture(format: str) -> None:
    plain, told = (opened(encode(RGB, format, provenance=made)) for made in (None, MADE))
    np.testing.assert_array_equal(np.asarray(plain), np.asarray(told))


def test_a_packet_too_long_for_jpeg_is_left_out_and_noted() -> None:
    long = xmp.rewrite(None, add={(DC, "dc", "source"): "x" * 70_000})
    photo = Photo(RGB, None, "PNG", xmp=long)
    packet = packet_of(opened(encode(RGB, "jpeg", photo, provenance=MADE)))
    assert ENHANCED.encode() in packet
    assert b"xxx" not in packet
    assert unsupported_features("jpeg", photo, MADE) == ["XMP too long for JPEG left out"]
    assert unsupported_features("png", photo, MADE) == []


def test_hostile_metadata_never_costs_the_picture() -> None:
    """XMP that is no XML, a bomb, binary; EXIF of noise: left out, noted, and replaced by ours."""
    bomb = b'<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>' + PACKET
    for hostile in (b"hello", bomb, bytes(range(256)), PACKET[:200]):
        sink = io.BytesIO()
        Image.fromarray(RGB).save(sink, "JPEG", xmp=hostile, exif=b"Exif\0\0" + bytes(range(40)))
        photo = decode(sink.getvalue())
        assert photo.notes == ["damaged EXIF left out", "damaged XMP left out"]
        written = opened(encode(photo.rgb(), "jpeg", photo, provenance=MADE))
        assert ENHANCED.encode() in packet_of(written)
        assert written.getexif()[ExifTags.Base.Software] == "colorize 9.9"


def test_a_size_and_a_color_space_that_became_wrong_are_not_copied() -> None:
    exif = Image.Exif()
    detail = exif.get_ifd(ExifTags.IFD.Exif)
    detail[ExifTags.Base.ColorSpace], detail[ExifTags.Base.ExifImageWidth] = 65535, 4000
    sink = io.BytesIO()
    Image.fromarray(RGB).save(sink, "JPEG", exif=exif)
    photo = decode(sink.getvalue())
    written = opened(encode(photo.rgb(), "jpeg", photo)).getexif().get_ifd(ExifTags.IFD.Exif)
    assert written[ExifTags.Base.ColorSpace] == 1  # sRGB, which the picture is in
    assert ExifTags.Base.ExifImageWidth not in written


def test_a_picture_longer_than_its_format_is_unsupported() -> None:
    with pytest.raises(PhotoError) as caught:
        encode(np.zeros((1, 16384, 3), np.uint8), "webp")
    assert caught.value.status == "unsupported"
