import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms
from skimage.color import lab2rgb

from colorize_core.photo.decode import INCOMPLETE, Photo, PhotoError, decode, decode_file, open_photo
from tests.colorize_core.photo.images import (
    ALPHA,
    GRAY,
    LOSSY,
    RGB,
    assert_photograph_or_photo_error,
    damage,
    file,
    png,
)

# libtiff and Pillow warn about the damage that these tests do
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL.*")

GRAY16 = (np.arange(64 * 96, dtype=np.uint32) * 65535 // (64 * 96 - 1)).astype(np.uint16).reshape(64, 96)


def status_of(data: bytes, **options: int) -> str:
    with pytest.raises(PhotoError) as caught:
        decode(data, **options)
    assert "\n" not in str(caught.value)
    return caught.value.status


def gray_tiff(values: np.ndarray, photometric: int) -> bytes:
    """An uncompressed gray TIFF; photometric 0 is WhiteIsZero."""
    body = values.tobytes()
    start = 8 + len(body)
    entries = {256: values.shape[1], 257: values.shape[0], 258: values.itemsize * 8, 259: 1, 262: photometric}
    entries |= {273: 8, 277: 1, 278: values.shape[0], 279: len(body)}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    return b"II*\0" + struct.pack("<I", start) + body + struct.pack("<H", len(entries)) + directory + bytes(4)


# Formats


def palette_image() -> Image.Image:
    return Image.fromarray(RGB).quantize(64)


def exact_cases() -> dict[str, tuple[bytes, np.ndarray]]:
    """File and pixels by name, for lossless formats."""
    palette = palette_image()
    bits = np.where(GRAY > 100, 255, 0).astype(np.uint8)
    cmyk = np.stack((RGB[..., 0], RGB[..., 1], RGB[..., 2], GRAY // 2), axis=-1)
    from_cmyk = np.round((255.0 - cmyk[..., :3]) * (255.0 - cmyk[..., 3:]) / 255).astype(np.uint8)
    first, second = Image.fromarray(RGB), Image.fromarray(255 - RGB)
    rgb16 = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in RGB)
    return {
        "PNG RGB": (file(RGB, "PNG"), RGB),
        "PNG RGB of 16 bits": (png(96, 64, 16, 2, rgb16), RGB.astype(np.uint16) * 257),
        "PNG RGBA": (file(np.dstack((RGB, ALPHA)), "PNG"), RGB),
        "PNG gray": (file(GRAY, "PNG"), GRAY),
        "PNG gray with alpha": (file(Image.merge("LA", [Image.fromarray(p) for p in (GRAY, ALPHA)]), "PNG"), GRAY),
        "PNG of 1 bit": (file(Image.fromarray(bits).convert("1"), "PNG"), bits),
        "PNG gray of 16 bits": (file(GRAY16, "PNG"), GRAY16),
        "PNG palette": (file(palette, "PNG"), np.asarray(palette.convert("RGB"))),
        "PNG palette with transparency": (file(palette, "PNG", transparency=3), np.asarray(palette.convert("RGB"))),
        "TIFF RGB": (file(RGB, "TIFF"), RGB),
        "TIFF RGB, LZW": (file(RGB, "TIFF", compression="tiff_lzw"), RGB),
        "TIFF gray": (file(GRAY, "TIFF"), GRAY),
        "TIFF gray of 16 bits": (file(GRAY16, "TIFF"), GRAY16),
        "TIFF gray of 16 bits, big-endian": (file(GRAY16.astype(">u2"), "TIFF"), GRAY16),
        "TIFF gray of 16 bits in 32": (file(GRAY16.astype(np.int32), "TIFF"), GRAY16),
        "TIFF gray, zero is white": (gray_tiff(GRAY, 0), 255 - GRAY),
        "TIFF gray of 16 bits, zero is white": (gray_tiff(GRAY16, 0), 65535 - GRAY16),
        "TIFF CMYK": (file(Image.fromarray(cmyk, "CMYK"), "TIFF"), from_cmyk),
        "TIFF of two pages": (file(first, "TIFF", save_all=True, append_images=[second]), RGB),
        "WebP, lossless": (file(RGB, "WEBP", lossless=True), RGB),
        "BMP": (file(RGB, "BMP"), RGB),
        "GIF": (file(palette, "GIF"), np.asarray(palette.convert("RGB"))),
        "JPEG 2000": (file(RGB, "JPEG2000"), RGB),
        "JPEG 2000 gray of 16 bits": (file(GRAY16, "JPEG2000"), GRAY16),
        "PPM": (file(RGB, "PPM"), RGB),
        "PGM of 16 bits": (b"P5 96 64 65535\n" + GRAY16.astype(">u2").tobytes(), GRAY16),
        "RGB that is gray": (file(np.dstack([GRAY] * 3), "PNG"), GRAY),
    }


EXACT = exact_cases()


@pytest.mark.parametrize("name", EXACT)
def test_lossless_files_decode_to_their_pixels(name: str) -> None:
    data, expected = EXACT[name]
    pixels = decode(data).pixels
    assert (pixels.dtype, pixels.shape) == (expected.dtype, expected.shape)
    # Rounding of a product of two 8-bit numbers may differ by one.
    assert np.abs(pixels.astype(int) - expected).max() <= (1 if "CMYK" in name else 0)


def lossy_cases() -> dict[str, tuple[bytes, np.ndarray]]:
    cmyk = Image.fromarray(RGB).convert("CMYK")
    full = {"quality": 95, "subsampling": "4:4:4"}
    return {
        "JPEG": (file(RGB, "JPEG", **full), RGB),
        "JPEG, progressive": (file(RGB, "JPEG", progressive=True, **full), RGB),
        "JPEG gray": (file(GRAY, "JPEG", **full), GRAY),
        "JPEG CMYK": (file(cmyk, "JPEG", **full), RGB),
        "TIFF with JPEG inside": (file(RGB, "TIFF", compression="jpeg", quality=95), RGB),
        "WebP": (file(RGB, "WEBP", quality=95), RGB),
    }


@pytest.mark.parametrize("name", lossy_cases())
def test_lossy_files_decode_to_approximately_their_pixels(name: str) -> None:
    data, expected = lossy_cases()[name]
    pixels = decode(data).pixels
    assert (pixels.dtype, pixels.shape) == (expected.dtype, expected.shape)
    assert np.abs(pixels.astype(int) - expected).mean() < LOSSY


def test_a_lab_tiff_decodes_to_its_colors() -> None:
    data = file(Image.frombytes("LAB", (2, 2), bytes([150, 20, 30]) * 4), "TIFF")
    expected = lab2rgb([[150 / 2.55, 20, 30]]) * 255
    # TIFF's Lab is nominally D50 and Pillow does not adapt it: a few 8-bit steps either way
    np.testing.assert_allclose(decode(data).pixels[0, :1], expected, atol=8)


def test_the_a_channel_of_lab_is_not_transparency() -> None:
    data = file(Image.frombytes("LAB", (2, 2), bytes([150, 20, 30]) * 4), "TIFF")
    assert decode(data).alpha is None


@pytest.mark.parametrize("name", ["PNG RGBA", "PNG gray with alpha"])
def test_alpha_is_kept(name: str) -> None:
    np.testing.assert_array_equal(decode(EXACT[name][0]).alpha, ALPHA)


def test_a_transparent_palette_entry_is_alpha() -> None:
    expected = np.where(np.asarray(palette_image()) == 3, 0, 255)
    np.testing.assert_array_equal(decode(EXACT["PNG palette with transparency"][0]).alpha, expected)


def test_a_transparent_color_is_alpha() -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0, 0] = 10, 20, 30
    photo = decode(file(pixels, "PNG", transparency=(10, 20, 30)))
    assert photo.alpha is not None
    assert photo.alpha.tolist() == [[0, 255], [255, 255]]


def test_an_opaque_alpha_channel_is_none() -> None:
    assert decode(file(np.dstack((RGB, np.full_like(GRAY, 255))), "PNG")).alpha is None


def test_the_first_frame_of_an_animation_is_used() -> None:
    frames = [palette_image(), Image.fromarray(255 - RGB).quantize(64)]
    photo = decode(file(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    np.testing.assert_array_equal(photo.pixels, np.asarray(frames[0].convert("RGB")))


@pytest.mark.parametrize("format", ["TIFF", "GIF", "WEBP"])
def test_using_the_first_of_several_pages_is_noted(format: str) -> None:
    pages = [Image.fromarray(RGB), Image.fromarray(255 - RGB), Image.fromarray(RGB // 2)]
    assert decode(file(pages[0], format, save_all=True, append_images=pages[1:])).notes == [
        "first of 3 pages or frames"
    ]


def test_a_plain_photograph_has_no_notes() -> None:
    assert decode(file(RGB, "JPEG")).notes == []


@pytest.mark.parametrize(
    ("name", "format", "depth"),
    [("PNG RGB", "PNG", 8), ("PNG gray of 16 bits", "PNG", 16), ("TIFF gray", "TIFF", 8), ("GIF", "GIF", 8)],
)
def test_format_size_and_depth_are_properties(name: str, format: str, depth: int) -> None:
    photo = decode(EXACT[name][0])
    assert (photo.format, photo.width, photo.height, photo.bit_depth) == (format, 96, 64, depth)


def test_rgb_of_a_color_photo_is_its_pixels() -> None:
    np.testing.assert_array_equal(Photo(RGB, None, "PNG").rgb(), RGB)


def test_rgb_of_a_gray_photo_repeats_it() -> None:
    np.testing.assert_array_equal(Photo(GRAY, None, "PNG").rgb(), np.dstack([GRAY] * 3))


def test_rgb_of_16_bits_is_rounded_to_8_bits() -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.floor(every / 257 + 0.5)  # 65535 / 255 = 257, odd: no ties
    np.testing.assert_array_equal(Photo(every, None, "PNG").rgb()[..., 0], expected)


# Orientation

UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),  # clockwise
    7: lambda stored: np.rot90(stored, 2).swapaxes(0, 1),
    8: lambda stored: np.rot90(stored, 1),
}


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(
    ("format", "options"),
    [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})],
)
def test_orientation_is_applied(orientation: int, format: str, options: dict[str, object]) -> None:
    photo = decode(file(RGB, format, exif=oriented(orientation), **options))
    np.testing.assert_array_equal(photo.pixels, UPRIGHT[orientation](RGB))


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_orientation_of_a_jpeg_is_applied(orientation: int) -> None:
    photo = decode(file(RGB, "JPEG", exif=oriented(orientation), quality=95))
    assert np.abs(photo.pixels.astype(int) - UPRIGHT[orientation](RGB)).mean() < LOSSY


def test_orientation_is_applied_to_alpha() -> None:
    photo = decode(file(np.dstack((RGB, ALPHA)), "PNG", exif=oriented(6)))
    np.testing.assert_array_equal(photo.alpha, UPRIGHT[6](ALPHA))


def test_orientation_is_applied_to_16_bits() -> None:
    photo = decode(file(GRAY16, "PNG", exif=oriented(8)))
    np.testing.assert_array_equal(photo.pixels, UPRIGHT[8](GRAY16))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_ignored(orientation: int) -> None:
    np.testing.assert_array_equal(decode(file(RGB, "PNG", exif=oriented(orientation))).pixels, RGB)


# Color profiles


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped_profile() -> bytes:
    """sRGB with the primaries of red and blue exchanged, under another name."""
    return (
        srgb()
        .replace(b"rXYZ", b"____")
        .replace(b"bXYZ", b"rXYZ")
        .replace(b"____", b"bXYZ")
        .replace("sRGB".encode("utf-16-be"), "Swap".encode("utf-16-be"))
    )


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_an_embedded_profile_is_converted_to_srgb(format: str) -> None:
    options = {"lossless": True} if format == "WEBP" else {"quality": 95, "subsampling": 0} if format == "JPEG" else {}
    photo = decode(file(RGB, format, icc_profile=swapped_profile(), **options))
    difference = np.abs(photo.pixels.astype(int) - RGB[..., ::-1])
    assert difference.mean() < (LOSSY if format == "JPEG" else 0.5)  # LittleCMS rounds twice


def test_a_converted_photograph_keeps_its_alpha() -> None:
    photo = decode(file(np.dstack((RGB, ALPHA)), "PNG", icc_profile=swapped_profile()))
    np.testing.assert_array_equal(photo.alpha, ALPHA)
    assert np.abs(photo.pixels.astype(int) - RGB[..., ::-1]).mean() < 0.5


def test_an_srgb_profile_changes_nothing() -> None:
    np.testing.assert_array_equal(decode(file(RGB, "PNG", icc_profile=srgb())).pixels, RGB)


@pytest.mark.parametrize("profile", [b"garbage", srgb()[:100], bytes(200)], ids=["text", "cut", "zeros"])
@pytest.mark.parametrize("pixels", [RGB, GRAY], ids=["color", "gray"])
def test_a_damaged_profile_is_noted_and_does_not_fail_the_photograph(profile: bytes, pixels: np.ndarray) -> None:
    photo = decode(file(pixels, "PNG", icc_profile=profile))
    np.testing.assert_array_equal(photo.pixels, pixels)
    assert photo.notes == ["unusable color profile ignored"]


def test_a_profile_of_another_kind_of_image_is_noted() -> None:
    photo = decode(file(GRAY, "PNG", icc_profile=swapped_profile()))
    np.testing.assert_array_equal(photo.pixels, GRAY)
    assert photo.notes == ["unusable color profile ignored"]


# Invalid files


def test_a_file_without_bytes_is_empty() -> None:
    assert status_of(b"") == "empty"


NOT_IMAGES = {
    "text": b"This is a letter, not a photograph.\n" * 20,
    "HTML": b"<!doctype html><html><body>404 not found</body></html>",
    "PDF": b"%PDF-1.7\n" + bytes(100),
    "ZIP": b"PK\3\4" + bytes(100),
    "sound in RIFF": b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + bytes(28),
    "zeros": bytes(1000),
    "one byte": b"x",
}


@pytest.mark.parametrize("name", NOT_IMAGES)
def test_other_files_are_not_an_image(name: str) -> None:
    assert status_of(NOT_IMAGES[name]) == "not_an_image"


def test_postscript_is_not_interpreted() -> None:
    assert status_of(file(RGB, "EPS")) == "not_an_image"


LOSSLESS_WEBP = file(RGB, "WEBP", lossless=True)
WHOLE = {
    "JPEG": file(RGB, "JPEG"),
    "JPEG, progressive": file(RGB, "JPEG", progressive=True),
    "PNG": file(RGB, "PNG"),
    "PNG of 16 bits": file(GRAY16, "PNG"),
    "TIFF": file(RGB, "TIFF"),
    "TIFF, LZW": file(RGB, "TIFF", compression="tiff_lzw"),
    "WebP": file(RGB, "WEBP"),
    "WebP, lossless": LOSSLESS_WEBP,
    "GIF": file(RGB, "GIF"),
    "BMP": file(RGB, "BMP"),
    "JPEG 2000": file(RGB, "JPEG2000"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_cut_in_its_header_is_truncated(name: str) -> None:
    assert status_of(WHOLE[name][:20]) == "truncated"


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("name", WHOLE)
def test_a_file_cut_in_its_body_is_truncated(name: str, share: float) -> None:
    whole = WHOLE[name]
    assert status_of(whole[: int(len(whole) * share)]) == "truncated"


@pytest.mark.parametrize("name", WHOLE)
def test_a_truncated_file_gives_a_photograph_or_a_photo_error(name: str) -> None:
    whole = WHOLE[name]
    for end in range(1, len(whole), max(len(whole) // 40, 1)):
        try:
            photo = decode(whole[:end])
        except PhotoError as fault:
            assert fault.status in {"truncated", "not_an_image"}  # noqa: PT017 (both outcomes are valid)
        else:
            assert (photo.height, photo.width) == (64, 96)


@pytest.mark.parametrize("name", WHOLE)
def test_a_damaged_header_gives_a_photograph_or_a_photo_error(name: str) -> None:
    """100 files with one to nine of their first 400 bytes replaced."""
    generator = np.random.default_rng(1)
    whole = WHOLE[name]
    for _ in range(100):
        assert_photograph_or_photo_error(damage(whole, generator, min(len(whole), 400)))


@pytest.mark.slow
def test_a_damaged_later_page_gives_a_photograph_or_a_photo_error() -> None:
    """Pages after the first are counted, not read; cut at every 16th byte from the second page on."""
    page = Image.fromarray(RGB)
    whole = file(page, "TIFF", save_all=True, append_images=[page, page])
    for end in range(len(whole) // 3, len(whole), 16):
        try:
            photo = decode(whole[:end])
        except PhotoError as fault:
            assert fault.status == "truncated"  # noqa: PT017
        else:
            np.testing.assert_array_equal(photo.pixels, RGB)


def test_a_later_page_without_a_size_gives_a_photograph_or_a_photo_error() -> None:
    """Its directory lost the width: tag 256 of the second page became another."""
    page = Image.fromarray(RGB)
    whole = file(page, "TIFF", save_all=True, append_images=[page])
    width = struct.pack("<HHII", 256, 4, 1, 96)
    second = whole.rindex(width)
    assert whole.index(width) < second
    damaged = whole[:second] + struct.pack("<HHII", 60000, 4, 1, 96) + whole[second + 12 :]
    try:
        np.testing.assert_array_equal(decode(damaged).pixels, RGB)
    except PhotoError as fault:
        assert fault.status == "truncated"  # noqa: PT017


def test_a_header_with_too_many_pixels_is_rejected_before_decoding() -> None:
    """There are no pixels behind the header: decoding it would be truncated, or 11 GB."""
    assert status_of(png(60000, 60000, 8, 2, b"")) == "too_large"


def test_the_caller_sets_the_limit() -> None:
    assert status_of(WHOLE["PNG"], max_pixels=96 * 64 - 1) == "too_large"


def test_a_photograph_of_exactly_the_limit_is_decoded() -> None:
    assert decode(WHOLE["PNG"], max_pixels=96 * 64).pixels.shape == RGB.shape


@pytest.mark.parametrize(
    "pixels", [GRAY.astype(np.float32), GRAY.astype(np.int32) - 1000, GRAY16.astype(np.int32) * 100]
)
def test_pixels_without_a_known_range_are_unsupported(pixels: np.ndarray) -> None:
    assert status_of(file(pixels, "TIFF")) == "unsupported"


def test_what_there_is_of_an_incomplete_jpeg_is_decoded_where_that_is_allowed() -> None:
    whole = file(RGB, "JPEG")
    cut = whole[: len(whole) * 2 // 3]
    with pytest.raises(PhotoError):
        decode_file(open_photo(cut))
    photo = decode_file(open_photo(cut), allow_incomplete=True)
    assert photo.notes == [INCOMPLETE]
    top = photo.height // 4
    np.testing.assert_array_equal(photo.pixels[:top], decode(whole).pixels[:top])


def test_other_incomplete_formats_are_refused_in_any_case() -> None:
    whole = file(RGB, "PNG")
    with pytest.raises(PhotoError):
        decode_file(open_photo(whole[: len(whole) * 2 // 3]), allow_incomplete=True)
