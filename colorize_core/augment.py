"""Variations of training photographs: mirrored, cropped, and seen as on an old print.

What a photograph gets depends on the seed, the epoch and its id: not on the batch, the workers or the device.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from colorize_core.color import network_scale
from colorize_core.errors import UserError
from colorize_core.gray_style import GrayStyle, restyle


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training photograph; by default it is only mirrored."""

    flip: bool = True
    """Mirror one photograph in two from left to right."""
    crop: int | None = None
    """Side in pixels, a multiple of 32, of a square cut out at random; the whole photograph when empty."""
    style: GrayStyle = field(default_factory=GrayStyle)
    """How the model's input is made to look old."""

    def __post_init__(self) -> None:
        """Raise UserError for a crop that networks cannot take."""
        if self.crop is not None and (self.crop < 32 or self.crop % 32):
            raise UserError(f"crop = {self.crop}: must be a multiple of 32")


def augment(
    L: Tensor, ab: Tensor, ids: Sequence[str], epoch: int, rule: Augmentation, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Vary a batch of rows of Lab shards.

    Args:
        L: (B, 1, S, S) uint8 (see `color.lab_to_uint8`).
        ab: (B, 2, S, S) uint8.
        ids: of the B photographs.
        epoch: a photograph is varied differently in each.
        rule: what may happen.
        seed: of the run.

    Returns:
        On the network's scale, float32, on the device of L, s being `rule.crop` or S: the lightness that the model
        sees (B, 1, s, s), the true lightness (B, 1, s, s) and the true ab (B, 2, s, s).

    Raises:
        UserError: the crop is not smaller than the photographs.
    """
    draw = partial(draw_uniform, ids, epoch, seed)
    windows = _windows(L.shape[-1], rule.crop, draw("crop", 2))
    mirrored = (draw("flip", 1)[:, 0] < 0.5).tolist() if rule.flip else [False] * len(ids)
    L, ab = (_cut(pixels, windows, mirrored) for pixels in (L, ab))
    return restyle(L, ab, rule.style, draw), *network_scale(L, ab)


def draw_uniform(ids: Sequence[str], epoch: int, seed: int, name: str, count: int) -> Tensor:
    """Uniform random numbers in [0, 1) that depend on nothing but the arguments: (B, count) float64 on the CPU.

    They are the digest of a hash, so that they are the same on every machine and with every version of torch.
    """
    digests = (hashlib.shake_128(f"{seed}/{epoch}/{name}/{id}".encode()).digest(4 * count) for id in ids)
    words = np.frombuffer(b"".join(digests), dtype="<u4").reshape(len(ids), count)
    return torch.from_numpy(words / 2.0**32)


def _windows(size: int, crop: int | None, numbers: Tensor) -> list[tuple[slice, slice]]:
    """Rows and columns to keep of each photograph of `size` pixels; `numbers` (B, 2) in [0, 1) place them."""
    if crop is not None and crop >= size:
        raise UserError(f"crop = {crop}: must be smaller than the photographs, which have {size} px")
    side = crop or size
    corners = (numbers * (size - side + 1)).long().tolist()
    return [(slice(top, top + side), slice(left, left + side)) for top, left in corners]


def _cut(pixels: Tensor, windows: Sequence[tuple[slice, slice]], mirrored: Sequence[bool]) -> Tensor:
    cut = [photo[:, rows, columns] for photo, (rows, columns) in zip(pixels, windows, strict=True)]
    return torch.stack([photo.flip(-1) if mirror else photo for photo, mirror in zip(cut, mirrored, strict=True)])
