import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from colorize_core.photo.decode import decode
from colorize_core.photo.profiles import SRGB_PROFILE, high_bit_depth_to_srgb
from tests.colorize_core.photo.images import GRAY, RGB, file

RAMP = np.arange(65536, dtype=np.uint16).reshape(256, 256)


def linear_gray() -> bytes:
    return imagecodecs.cms_profile("gray", gamma=1.0)


def swapped() -> bytes:
    """sRGB with the primaries of red and blue exchanged, under another name."""
    profile = SRGB_PROFILE.replace(b"rXYZ", b"____").replace(b"bXYZ", b"rXYZ").replace(b"____", b"bXYZ")
    return profile.replace("sRGB".encode("utf-16-be"), "Swap".encode("utf-16-be"))


def srgb_of_linear(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1."""
    return np.where(linear > 0.0031308, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055, 12.92 * linear)


def test_linear_gray_of_16_bits_becomes_srgb_by_its_formula() -> None:
    notes: list[str] = []
    converted = high_bit_depth_to_srgb(RAMP, linear_gray(), notes)
    assert (converted.dtype, notes) == (np.uint16, [])
    expected = srgb_of_linear(RAMP / 65535) * 65535
    assert np.abs(converted - expected).max() < 65535 / 255 / 20


def test_a_gray_photograph_of_16_bits_is_converted_when_it_is_decoded() -> None:
    sink = io.BytesIO()
    Image.fromarray(RAMP).save(sink, "TIFF", icc_profile=linear_gray())
    np.testing.assert_array_equal(decode(sink.getvalue()).pixels, high_bit_depth_to_srgb(RAMP, linear_gray(), []))


def test_color_of_16_bits_is_converted_without_losing_bits() -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (50, 60, 3), dtype=np.uint16)
    converted = high_bit_depth_to_srgb(pixels, swapped(), [])
    assert np.abs(converted.astype(int) - pixels[..., ::-1]).max() <= 2


@pytest.mark.parametrize("profile", [None, SRGB_PROFILE])
def test_srgb_is_left_as_it_is(profile: bytes | None) -> None:
    assert high_bit_depth_to_srgb(RAMP, profile, []) is RAMP


@pytest.mark.parametrize("profile", [b"garbage", swapped()])
def test_an_unusable_profile_is_noted(profile: bytes) -> None:
    """Damaged, or a color profile for a gray image."""
    notes: list[str] = []
    np.testing.assert_array_equal(high_bit_depth_to_srgb(RAMP, profile, notes), RAMP)
    assert notes == ["unusable color profile ignored"]


# Colors that a PNG describes without a profile


def with_gamma(pixels: np.ndarray, gamma: float, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG with the chunk gAMA and others before its pixels."""
    data = file(pixels, "PNG")
    position = data.index(b"IDAT") - 4
    chunks = b""
    for name, body in ((b"gAMA", struct.pack(">I", round(gamma * 100000))), *more):
        chunks += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return data[:position] + chunks + data[position:]


@pytest.mark.parametrize("pixels", [GRAY, RGB], ids=["gray", "color"])
def test_a_linear_png_is_converted_to_srgb(pixels: np.ndarray) -> None:
    light = pixels / 255
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(decode(with_gamma(pixels, 1.0)).pixels - expected).max() <= 1.5


def test_the_usual_gamma_and_that_of_an_srgb_png_change_nothing() -> None:
    np.testing.assert_array_equal(decode(with_gamma(RGB, 1 / 2.2)).pixels, RGB)
    np.testing.assert_array_equal(decode(with_gamma(RGB, 1.0, (b"sRGB", b"\0"))).pixels, RGB)


def test_wide_primaries_of_a_png_give_stronger_colors() -> None:
    adobe = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
    chunk = (b"cHRM", struct.pack(">8I", *(round(value * 100000) for value in adobe)))
    pixels = np.full((8, 8, 3), (60, 160, 60), np.uint8)
    converted = decode(with_gamma(pixels, 1 / 2.2, chunk)).pixels[0, 0].astype(int)
    assert converted[0] < 60 - 20
    assert abs(converted[1] - 160) < 6
