"""Screening of training photographs: checks, resizing to squares, assignment to splits."""

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from colorize_core.color.gray import GRAY_CHROMA
from colorize_core.color.lab import chroma
from colorize_core.data.shards import SPLITS, TEST, TRAIN, VAL, images_to_lab
from colorize_core.photo.decode import Photo, PhotoError, decode
from colorize_core.photo.options import MAX_PIXELS


@dataclass(frozen=True)
class ResizePolicy:
    """How photographs are resized to squares."""

    size: int
    """Side in pixels."""
    resize: str
    """"squash" the whole photograph, or "crop" its central square."""


@dataclass(frozen=True)
class ScreeningResult:
    """Result of screening one file."""

    id: str
    """SHA-256 of the file, hexadecimal; empty if the file could not be read."""
    reason: str = ""
    """Reason for rejection: near_gray or a status of `photo.PhotoError`; empty if the photograph is accepted."""
    detail: str = ""
    """Explanation of the reason in one line."""


def content_id(data: bytes) -> str:
    """Return the SHA-256 of a file, hexadecimal; files with equal ids are duplicates."""
    return hashlib.sha256(data).hexdigest()


def screen(
    data: bytes, policy: ResizePolicy, max_pixels: int = MAX_PIXELS, *, keep_gray: bool = False
) -> ScreeningResult:
    """Check that a file decodes and, unless `keep_gray`, is in color: its mean chroma is at least `GRAY_CHROMA`."""
    identity = content_id(data)
    try:
        found = mean_chroma(to_square(decode(data, max_pixels), policy))
    except PhotoError as fault:
        return ScreeningResult(identity, fault.status, str(fault))
    if found < GRAY_CHROMA and not keep_gray:
        return ScreeningResult(identity, "near_gray", f"mean chroma {found:.2f} is below {GRAY_CHROMA}")
    return ScreeningResult(identity)


def to_square(photo: Photo, policy: ResizePolicy) -> np.ndarray:
    """Resize a photograph to (size, size, 3) uint8 RGB, bicubic and antialiased as Pillow does."""
    image = Image.fromarray(photo.rgb())
    box = None
    if policy.resize == "crop":
        side = min(image.size)
        left, top = (image.width - side) / 2, (image.height - side) / 2
        box = (left, top, left + side, top + side)
    return np.asarray(image.resize((policy.size, policy.size), Image.Resampling.BICUBIC, box=box))


def mean_chroma(rgb: np.ndarray) -> float:
    """Return the mean CIELAB chroma of (H, W, 3) uint8 sRGB pixels."""
    return float(chroma(images_to_lab(rgb[None])[:, 1:]).mean())


def split_by_hash(identity: str, val_fraction: float, test_fraction: float) -> str:
    """Assign a photograph to a split by its content id; stable when photographs are added, renamed or moved."""
    position = int(identity[:8], 16) / 2**32
    if position < test_fraction:
        return TEST
    return VAL if position < test_fraction + val_fraction else TRAIN


def split_by_folder(key: str) -> str | None:
    """Return the split named by the first folder of a key (train, val or test), or None."""
    folder, separator, _ = key.partition("/")
    return folder if separator and folder in SPLITS else None
