"""Color profiles: what pictures are converted from, and the sRGB they are tagged with."""

import io

import imagecodecs
import numpy as np
from PIL import Image, ImageCms

from colorize_core.runtime.strips import row_strips

_UNUSABLE = "unusable color profile ignored"


def _srgb_profile() -> bytes:
    """The sRGB profile to embed, without the time LittleCMS stamps it with: equal inputs must give equal files."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes((7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0))  # 2000-01-01
    return bytes(profile)


SRGB_PROFILE = _srgb_profile()


def to_srgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """Convert to sRGB through the embedded profile where there is one that works, or by Pillow's own rule."""
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
    """Convert 16-bit pixels to sRGB through their profile where there is one that works; Pillow would cut them to 8.

    Args:
        pixels: (H, W) gray or (H, W, 3) RGB, uint16.
        profile: as embedded, or None.
        notes: told of a profile that could not be used.

    Returns:
        The same shape, uint16.
    """
    if not profile:
        return pixels
    try:
        if _is_srgb(ImageCms.ImageCmsProfile(io.BytesIO(profile))):
            return pixels
        converted = np.empty_like(pixels)
        for rows in row_strips(*pixels.shape[:2]):
            rgb = imagecodecs.cms_transform(
                pixels[rows],
                profile,
                SRGB_PROFILE,
                colorspace="gray" if pixels.ndim == 2 else "rgb",
                outcolorspace="rgb",
                outdtype="uint16",
                flags=imagecodecs.CMS.FLAGS.NOOPTIMIZE,  # its tables are levels of 255 off in the shadows
            )
            converted[rows] = rgb if pixels.ndim == 3 else rgb[..., 1]  # gray in, three equal channels out
    except (ImageCms.PyCMSError, imagecodecs.CmsError, OSError, ValueError):
        notes.append(_UNUSABLE)
        return pixels
    return converted


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    return "srgb" in ImageCms.getProfileDescription(profile).lower()
