"""Which photographs become training data, and how: checks, squares, splits."""

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from colorize_core.color.lab import chroma
from colorize_core.data.shards import SPLITS, TEST, TRAIN, VAL, images_to_lab
from colorize_core.photo.decode import GRAY_CHROMA, MAX_PIXELS, Photo, PhotoError, decode


@dataclass(frozen=True)
class ResizePolicy:
    """How photographs become square."""

    size: int
    """Side in pixels."""
    resize: str
    """"squash" the whole picture, or "crop" its central square."""


@dataclass(frozen=True)
class ScreeningResult:
    """What an inspection found."""

    id: str
    """SHA-256 of the file, hexadecimal; empty when there was nothing to read."""
    reason: str = ""
    """Why the photograph is rejected: near_gray or a status of `photo.PhotoError`; empty when it is accepted."""
    detail: str = ""
    """For people."""


def content_id(data: bytes) -> str:
    """SHA-256 of a file, hexadecimal: equal files are duplicates."""
    return hashlib.sha256(data).hexdigest()


def inspect(data: bytes, rule: ResizePolicy, max_pixels: int = MAX_PIXELS) -> ScreeningResult:
    """Decide whether a photograph can be learned from: it must decode and have color (`photo.GRAY_CHROMA`)."""
    identity = content_id(data)
    try:
        found = mean_chroma(square(decode(data, max_pixels), rule))
    except PhotoError as fault:
        return ScreeningResult(identity, fault.status, str(fault))
    if found < GRAY_CHROMA:
        return ScreeningResult(identity, "near_gray", f"mean chroma {found:.2f} is under {GRAY_CHROMA}")
    return ScreeningResult(identity)


def square(photo: Photo, rule: ResizePolicy) -> np.ndarray:
    """Resize a photograph to (size, size, 3) uint8 RGB, bicubic and antialiased as Pillow does."""
    image = Image.fromarray(photo.rgb())
    box = None
    if rule.resize == "crop":
        side = min(image.size)
        left, top = (image.width - side) / 2, (image.height - side) / 2
        box = (left, top, left + side, top + side)
    return np.asarray(image.resize((rule.size, rule.size), Image.Resampling.BICUBIC, box=box))


def mean_chroma(rgb: np.ndarray) -> float:
    """Mean CIELAB chroma of (H, W, 3) uint8 sRGB pixels."""
    return float(chroma(images_to_lab(rgb[None])[:, 1:]).mean())


def split_by_hash(identity: str, val_fraction: float, test_fraction: float) -> str:
    """Split of a photograph from its content alone: stable when photographs are added, renamed or moved."""
    position = int(identity[:8], 16) / 2**32
    if position < test_fraction:
        return TEST
    return VAL if position < test_fraction + val_fraction else TRAIN


def split_by_folder(key: str) -> str | None:
    """Split named by the first folder of a key (train, val or test), or None."""
    folder, separator, _ = key.partition("/")
    return folder if separator and folder in SPLITS else None
