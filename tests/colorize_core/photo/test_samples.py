import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from colorize_core.photo.decode import PhotoError, decode
from tests.colorize_core.photo.images import ALPHA16 as ALPHA
from tests.colorize_core.photo.images import RGB as FACE
from tests.colorize_core.photo.images import assert_photograph_or_photo_error, damage, png

# libtiff and Pillow warn about the damage that these tests do
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL.*")

RGB = FACE.astype(np.uint16) * 251 + np.arange(96, dtype=np.uint16)[:, None]
GRAY = RGB[..., 1]


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    sink = io.BytesIO()
    tifffile.imwrite(sink, pixels, **options)
    return sink.getvalue()


PNG_RGB, PNG_RGBA = (imagecodecs.png_encode(pixels, 6) for pixels in (RGB, np.dstack((RGB, ALPHA))))
PNG_GRAY_ALPHA = imagecodecs.png_encode(np.dstack((GRAY, ALPHA)), 6)
FILES = {
    "PNG RGB": (PNG_RGB, RGB, None),
    "PNG RGBA": (PNG_RGBA, RGB, ALPHA),
    "PNG gray with alpha": (PNG_GRAY_ALPHA, GRAY, ALPHA),
    "TIFF RGB": (tiff(RGB, photometric="rgb"), RGB, None),
    "TIFF RGB, big-endian": (tiff(RGB, photometric="rgb", byteorder=">"), RGB, None),
    "TIFF RGB, LZW with differences": (tiff(RGB, photometric="rgb", compression="lzw", predictor=True), RGB, None),
    "TIFF RGB, deflate": (tiff(RGB, photometric="rgb", compression="zlib"), RGB, None),
    "TIFF RGB, tiles": (tiff(RGB, photometric="rgb", tile=(32, 32)), RGB, None),
    "TIFF RGB, planes": (tiff(np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig="separate"), RGB, None),
    "TIFF RGBA": (tiff(np.dstack((RGB, ALPHA)), photometric="rgb", extrasamples=["unassalpha"]), RGB, ALPHA),
    "TIFF RGB, gray throughout": (tiff(np.dstack([GRAY] * 3), photometric="rgb"), GRAY, None),
}


@pytest.mark.parametrize("name", FILES)
def test_all_16_bits_are_read(name: str) -> None:
    data, pixels, alpha = FILES[name]
    photo = decode(data)
    assert photo.bit_depth == 16
    np.testing.assert_array_equal(photo.pixels, pixels)
    np.testing.assert_array_equal(photo.alpha, alpha)


def test_a_fourth_channel_that_is_not_alpha_is_dropped() -> None:
    photo = decode(tiff(np.dstack((RGB, ALPHA)), photometric="rgb", extrasamples=["unspecified"]))
    np.testing.assert_array_equal(photo.pixels, RGB)
    assert photo.alpha is None
    assert photo.notes == ["extra channel without a stated meaning left out"]


def test_the_first_of_several_pages_is_used_and_noted() -> None:
    photo = decode(tiff(np.stack((RGB, 65535 - RGB)), photometric="rgb"))
    np.testing.assert_array_equal(photo.pixels, RGB)
    assert photo.notes == ["first of 2 pages or frames"]


def test_orientation_is_applied_to_color_of_16_bits() -> None:
    photo = decode(tiff(RGB, photometric="rgb", extratags=[(274, "H", 1, 6, True)]))
    np.testing.assert_array_equal(photo.pixels, np.rot90(RGB, -1))


@pytest.mark.parametrize("name", ["PNG RGB", "PNG RGBA", "TIFF RGB", "TIFF RGB, deflate"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_cut_file_is_truncated(name: str, share: float) -> None:
    data = FILES[name][0]
    with pytest.raises(PhotoError) as caught:
        decode(data[: int(len(data) * share)])
    assert caught.value.status == "truncated"


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_gives_a_photograph_or_a_photo_error(name: str) -> None:
    """60 files with one to nine bytes replaced, half of them among the first 400."""
    generator = np.random.default_rng(2)
    whole = FILES[name][0]
    for number in range(60):
        assert_photograph_or_photo_error(damage(whole, generator, len(whole) if number % 2 else 400))


# Samples that Pillow would misread or refuse


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_packed_samples_are_scaled_by_their_own_maximum(bits: int) -> None:
    levels = GRAY >> (16 - bits)
    photo = decode(tiff(levels, bitspersample=bits, photometric="minisblack"))
    np.testing.assert_array_equal(photo.pixels, np.rint(levels * (65535 / (2**bits - 1))))


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_zero_is_white_in_16_bits(byteorder: str) -> None:
    photo = decode(tiff(GRAY, photometric="miniswhite", byteorder=byteorder))
    np.testing.assert_array_equal(photo.pixels, 65535 - GRAY)


@pytest.mark.parametrize("channels", [1, 3])
def test_premultiplied_alpha_is_divided_out(channels: int) -> None:
    colors = GRAY[..., None] if channels == 1 else RGB
    alpha = np.maximum(ALPHA, 20000)
    stored = np.rint(colors * (alpha[..., None] / 65535)).astype(np.uint16)
    photometric = "minisblack" if channels == 1 else "rgb"
    options = {"photometric": photometric, "planarconfig": "contig", "extrasamples": ["assocalpha"]}
    photo = decode(tiff(np.dstack((stored, alpha)), **options))
    assert photo.alpha is not None
    np.testing.assert_array_equal(photo.alpha, alpha)
    assert np.abs(photo.pixels.astype(int) - np.squeeze(colors)).max() <= 2


def test_alpha_of_16_bit_gray_is_kept() -> None:
    options = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unassalpha"]}
    photo = decode(tiff(np.dstack((GRAY, ALPHA)), **options))
    np.testing.assert_array_equal(photo.pixels, GRAY)
    np.testing.assert_array_equal(photo.alpha, ALPHA)


def test_an_extra_channel_without_a_meaning_is_left_out_and_noted() -> None:
    options = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unspecified"]}
    photo = decode(tiff(np.dstack((GRAY, ALPHA)), **options))
    np.testing.assert_array_equal(photo.pixels, GRAY)
    assert photo.alpha is None
    assert photo.notes == ["extra channel without a stated meaning left out"]


def test_cmyk_with_alpha_is_its_colors() -> None:
    inks = np.dstack((255 - FACE, np.full((64, 96), 40, np.uint8)))
    options = {"photometric": "separated", "planarconfig": "contig"}
    plain = decode(tiff(inks, **options))
    photo = decode(tiff(np.dstack((inks, ALPHA >> 8)).astype(np.uint8), extrasamples=["unassalpha"], **options))
    np.testing.assert_array_equal(photo.pixels, plain.pixels)
    np.testing.assert_array_equal(photo.alpha, ALPHA >> 8)


@pytest.mark.parametrize("compression", ["webp", "jpeg2000", "jpegxl", "lerc", "zstd", "lzma"])
def test_compressions_of_tiff_that_pillow_does_not_know(compression: str) -> None:
    lossless = {"webp": {"lossless": True}, "jpegxl": {"lossless": True}}.get(compression, {})
    photo = decode(tiff(FACE, photometric="rgb", compression=compression, compressionargs=lossless))
    np.testing.assert_array_equal(photo.pixels, FACE)


@pytest.mark.parametrize("kind", [np.int16, np.int8, np.float16, np.float64])
def test_samples_without_a_known_range_are_unsupported_and_named(kind: type) -> None:
    with pytest.raises(PhotoError, match=r"signed|float") as caught:
        decode(tiff(GRAY.astype(kind), photometric="minisblack"))
    assert caught.value.status == "unsupported"


@pytest.mark.parametrize(("bits", "white"), [(1, 255), (4, 255), (10, 65535), (12, 65535), (16, 65535)])
def test_jpeg_2000_is_scaled_by_its_own_maximum(bits: int, white: int) -> None:
    levels = (GRAY >> (16 - bits)).astype(np.uint8 if bits <= 8 else np.uint16)
    levels[0] = 2**bits - 1
    photo = decode(imagecodecs.jpeg2k_encode(levels, bitspersample=bits, reversible=True))
    np.testing.assert_array_equal(photo.pixels, np.rint(levels * (white / (2**bits - 1))))


def test_color_and_alpha_of_16_bit_jpeg_2000_are_kept() -> None:
    photo = decode(imagecodecs.jpeg2k_encode(np.dstack((RGB, ALPHA)), codecformat="jp2", reversible=True))
    np.testing.assert_array_equal(photo.pixels, RGB)
    np.testing.assert_array_equal(photo.alpha, ALPHA)


@pytest.mark.parametrize("color", [False, True], ids=["gray", "color"])
def test_a_jpeg_of_12_bits_is_scaled_by_its_own_maximum(color: bool) -> None:
    levels = (RGB if color else GRAY) >> 4
    photo = decode(imagecodecs.jpeg8_encode(levels, 98, bitspersample=12, subsampling="444"))
    assert photo.bit_depth == 16
    assert np.abs(photo.pixels / 65535 - levels / 4095).mean() < 0.01


def test_a_lossless_jpeg_is_read() -> None:
    np.testing.assert_array_equal(decode(imagecodecs.jpeg8_encode(FACE, lossless=True)).pixels, FACE)


def transparent(gray_level: int, depth: int, rows: bytes) -> bytes:
    """A gray PNG of 16 x 12 pixels with one transparent level."""
    data = png(16, 12, depth, 0, rows)
    name_and_body = b"tRNS" + struct.pack(">H", gray_level)
    chunk = struct.pack(">I", 2) + name_and_body + struct.pack(">I", zlib.crc32(name_and_body))
    position = data.index(b"IDAT") - 4
    return data[:position] + chunk + data[position:]


@pytest.mark.parametrize(("depth", "level"), [(1, 1), (4, 3), (8, 3), (16, 40000)])
def test_a_transparent_level_of_gray_is_alpha(depth: int, level: int) -> None:
    levels = np.arange(16 * 12, dtype=np.uint16).reshape(12, 16) % 2 ** min(depth, 6)
    levels[3] = level
    if depth < 8:
        rows = packed(levels, depth)
    else:
        rows = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in levels)
    photo = decode(transparent(level, depth, rows))
    assert photo.alpha is not None
    np.testing.assert_array_equal(photo.alpha == 0, levels == level)
    opaque = levels != level
    white = 65535 if depth == 16 else 255
    np.testing.assert_array_equal(photo.pixels[opaque], (levels * (white // (2**depth - 1)))[opaque])


# Rare formats of 8 bits or less


def packed(levels: np.ndarray, depth: int) -> bytes:
    """Unfiltered PNG rows of a few bits per pixel, the first pixel in the highest bits."""
    bits = np.unpackbits(levels[..., None].astype(np.uint8), axis=-1)[..., 8 - depth :]
    rows = np.packbits(bits.reshape(len(levels), -1), axis=-1)
    return b"".join(b"\0" + row.tobytes() for row in rows)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_of_gray_are_scaled_to_8_bits(depth: int) -> None:
    levels = np.arange(16 * 12).reshape(12, 16) % 2**depth
    photo = decode(png(16, 12, depth, 0, packed(levels, depth)))
    np.testing.assert_array_equal(photo.pixels, levels * (255 // (2**depth - 1)))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_of_a_palette_are_its_colors(depth: int) -> None:
    palette = np.random.default_rng(0).integers(0, 256, (2**depth, 3), dtype=np.uint8)
    levels = np.arange(16 * 12).reshape(12, 16) % 2**depth
    photo = decode(png(16, 12, depth, 3, packed(levels, depth), palette.tobytes()))
    np.testing.assert_array_equal(photo.pixels, palette[levels])


def test_a_jpeg_of_ycck_is_its_colors() -> None:
    """Adobe's CMYK JPEG: YCC of the inverted inks and black, inverted too."""
    cmyk = np.dstack((255 - FACE, np.zeros((64, 96), np.uint8)))  # cyan, magenta and yellow, no black
    data = imagecodecs.jpeg8_encode(255 - cmyk, 98, colorspace="CMYK", outcolorspace="YCCK", subsampling="444")
    assert b"Adobe" in data[:400]
    photo = decode(data)
    assert np.abs(photo.pixels.astype(int) - FACE).mean() < 2.5


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_2000_is_read_without_loss(mode: str) -> None:
    sink = io.BytesIO()
    image = Image.fromarray(FACE).convert(mode)
    image.save(sink, "JPEG2000", irreversible=False)
    np.testing.assert_array_equal(decode(sink.getvalue()).pixels, np.asarray(image))
