import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, features

from colorize_core.photo.decode import PhotoError, decode, open_photo
from colorize_core.photo.header import Decoder
from tests.colorize_core.photo.images import GRAY, RGB, file

SMALL = np.ascontiguousarray(GRAY[::4, ::4])
REDUCED = 1  # NewSubfileType of a copy at lower resolution


def pages(*written: tuple[np.ndarray, dict[str, object]]) -> bytes:
    """A TIFF of several pages."""
    sink = io.BytesIO()
    with tifffile.TiffWriter(sink) as writer:
        for pixels, options in written:
            writer.write(pixels, photometric="minisblack", **options)
    return sink.getvalue()


# Which page of a TIFF is the photograph


def test_a_reduced_copy_before_the_photograph_is_passed_over() -> None:
    photo = decode(pages((SMALL, {"subfiletype": REDUCED}), (GRAY, {})))
    np.testing.assert_array_equal(photo.pixels, GRAY)
    assert photo.notes == []


def test_a_thumbnail_that_is_not_marked_is_passed_over_and_noted() -> None:
    photo = decode(pages((SMALL, {}), (GRAY, {})))
    np.testing.assert_array_equal(photo.pixels, GRAY)
    assert photo.notes == ["number 2 of 2 pages or frames"]


def test_the_first_of_pages_of_similar_size_is_the_photograph() -> None:
    photo = decode(pages((GRAY, {}), (np.pad(255 - GRAY, 3), {})))
    np.testing.assert_array_equal(photo.pixels, GRAY)
    assert photo.notes == ["first of 2 pages or frames"]


def test_a_photograph_in_a_sub_directory_is_found() -> None:
    photo = decode(pages((SMALL, {"subfiletype": REDUCED, "subifds": 1}), (GRAY, {})))
    np.testing.assert_array_equal(photo.pixels, GRAY)


def test_the_levels_of_a_pyramid_are_not_pages() -> None:
    photo = decode(pages((GRAY, {"subifds": 1}), (SMALL, {"subfiletype": REDUCED})))
    np.testing.assert_array_equal(photo.pixels, GRAY)
    assert photo.notes == []


def test_metadata_are_those_of_the_page() -> None:
    first, second = ({"resolution": (dpi, dpi), "resolutionunit": "inch"} for dpi in (72, 400))
    photo = decode(pages((SMALL, {"subfiletype": REDUCED, **first}), (GRAY, second)))
    assert photo.dpi == (400, 400)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("format", ["TIFF", "JPEG"])
def test_resolution_turns_with_the_photograph(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    photo = decode(file(GRAY, format, exif=exif, dpi=(200, 100)))
    assert photo.dpi == pytest.approx((100, 200))
    assert photo.pixels.shape == GRAY.shape[::-1]


# JPEG without its end


def test_a_jpeg_that_lacks_only_its_end_marker_is_decoded_and_noted() -> None:
    for options in ({}, {"progressive": True}):
        whole = file(RGB, "JPEG", **options)
        photo = decode(whole[:-2])
        np.testing.assert_array_equal(photo.pixels, decode(whole).pixels)
        assert photo.notes == ["the end marker of the JPEG is missing"]


def test_a_progressive_jpeg_that_lacks_scans_is_truncated() -> None:
    whole = file(RGB, "JPEG", progressive=True)
    last_scan = whole.rindex(b"\xff\xda")
    tables = whole.rindex(b"\xff\xc4", 0, last_scan)
    for end in (tables, last_scan, last_scan + 6):
        with pytest.raises(PhotoError) as caught:
            decode(whole[:end])
        assert caught.value.status == "truncated"


@pytest.mark.parametrize("missing", [12, 40, 400])
def test_a_jpeg_that_lacks_pixels_too_is_truncated(missing: int) -> None:
    with pytest.raises(PhotoError) as caught:
        decode(file(RGB, "JPEG")[:-missing])
    assert caught.value.status == "truncated"


# Formats by content


@pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
def test_avif_is_read() -> None:
    photo = decode(file(RGB, "AVIF", quality=95))
    assert np.abs(photo.pixels.astype(int) - RGB).mean() < 3
    assert photo.format == "AVIF"


@pytest.mark.parametrize(
    ("start", "name"), [(b"\0\0\0\x18ftypheic", "HEIC"), (b"\xff\x0a\x10", "JPEG XL"), (b"8BPS\0\1", "PSD")]
)
def test_formats_that_cannot_be_read_are_named(start: bytes, name: str) -> None:
    with pytest.raises(PhotoError, match=name) as caught:
        decode(start + bytes(100))
    assert caught.value.status == "unsupported"


@pytest.mark.parametrize(
    ("data", "decoder"),
    [
        (file(RGB, "JPEG"), Decoder.PILLOW),
        (file(RGB, "TIFF", compression="tiff_lzw"), Decoder.PILLOW),
        (file(RGB, "JPEG2000"), Decoder.PILLOW),
        (imagecodecs.png_encode(RGB.astype(np.uint16), 6), Decoder.LIBPNG),
        (imagecodecs.jpeg8_encode(GRAY.astype(np.uint16), 90, bitspersample=12), Decoder.LIBJPEG),
        (imagecodecs.jpeg2k_encode(RGB.astype(np.uint16), reversible=True), Decoder.OPENJPEG),
        (file(GRAY.astype(np.uint16), "TIFF"), Decoder.TIFFFILE),
    ],
    ids=["JPEG", "TIFF", "JPEG 2000", "PNG 16", "JPEG 12", "JPEG 2000 16", "TIFF 16"],
)
def test_the_decoder_follows_from_the_kind_of_samples(data: bytes, decoder: Decoder) -> None:
    assert open_photo(data).header.decoder is decoder
