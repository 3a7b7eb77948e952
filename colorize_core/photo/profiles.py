"""Color profiles: conversion of photographs to sRGB, and the profile embedded in color images."""

import io
from collections.abc import Mapping
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image, ImageCms

from colorize_core.runtime.strips import row_slices

_UNUSABLE = "unusable color profile ignored"
_SRGB_CHROMATICITY = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)  # x and y of white, red, green, blue
_CLOSE = 0.01
_DISPLAY_GAMMA, _CLOSE_GAMMA = 2.2, 0.05  # libpng's threshold below which a gamma is not applied


def _srgb_profile() -> bytes:
    """Return the sRGB profile to embed, with LittleCMS's time stamp replaced: equal inputs must give equal files."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes((7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0))  # 2000-01-01
    return bytes(profile)


SRGB_PROFILE = _srgb_profile()


def to_srgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """Convert to sRGB by the embedded profile if it is usable, otherwise by Pillow's conversion of the mode."""
    if profile := image.info.get("icc_profile"):
        try:
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if not _is_srgb(embedded):
                converted = ImageCms.profileToProfile(image, embedded, ImageCms.createProfile("sRGB"), outputMode="RGB")
                return converted or image
        except (ImageCms.PyCMSError, OSError, ValueError):
            notes.append(_UNUSABLE)
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def high_bit_depth_to_srgb(pixels: np.ndarray, profile: bytes | None, notes: list[str]) -> np.ndarray:
    """Convert 16-bit pixels to sRGB by their profile if it is usable; Pillow would reduce them to 8 bits.

    Args:
        pixels: (H, W) gray or (H, W, 3) RGB, uint16.
        profile: embedded profile, or None.
        notes: list to which a note is appended if the profile is unusable.

    Returns:
        The same shape, uint16.
    """
    if not profile:
        return pixels
    try:
        if _is_srgb(ImageCms.ImageCmsProfile(io.BytesIO(profile))):
            return pixels
        converted = np.empty_like(pixels)
        for rows in row_slices(*pixels.shape[:2]):
            rgb = imagecodecs.cms_transform(
                pixels[rows],
                profile,
                SRGB_PROFILE,
                colorspace="gray" if pixels.ndim == 2 else "rgb",
                outcolorspace="rgb",
                outdtype="uint16",
                flags=imagecodecs.CMS.FLAGS.NOOPTIMIZE,  # its tables are several 8-bit steps off in the shadows
            )
            converted[rows] = rgb if pixels.ndim == 3 else rgb[..., 1]  # gray input gives three equal channels
    except (ImageCms.PyCMSError, imagecodecs.CmsError, OSError, ValueError):
        notes.append(_UNUSABLE)
        return pixels
    return converted


def describe_png_colors(info: Mapping[Any, Any], gray: bool) -> bytes | None:
    """Return the color profile that a PNG describes by its chunks gAMA and cHRM; None if it is sRGB or has a profile.

    An embedded profile takes precedence over sRGB, and this one over gAMA and cHRM (PNG 1.2, 11.3.3).

    Args:
        info: of the PNG opened by Pillow.
        gray: make a profile of gray, for which primaries have no meaning.
    """
    if info.get("icc_profile") or "srgb" in info or not info.get("gamma"):
        return None
    exponent = float(info["gamma"])
    *white, red_x, red_y, green_x, green_y, blue_x, blue_y = info.get("chromaticity", _SRGB_CHROMATICITY)
    primaries = (red_x, red_y, green_x, green_y, blue_x, blue_y)
    usual = max(abs(a - b) for a, b in zip((*white, *primaries), _SRGB_CHROMATICITY, strict=True)) < _CLOSE
    if abs(exponent * _DISPLAY_GAMMA - 1) < _CLOSE_GAMMA and (gray or usual):
        return None
    options: dict[str, Any] = {"whitepoint": (*white, 1.0), "gamma": 1 / exponent}
    if not gray:
        options["primaries"] = [red_x, red_y, 1.0, green_x, green_y, 1.0, blue_x, blue_y, 1.0]
    return bytes(imagecodecs.cms_profile("gray" if gray else "rgb", **options))


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    return "srgb" in ImageCms.getProfileDescription(profile).lower()
