"""Variations of training photographs: mirrored, cropped, zoomed into, seen as on an old print, more colorful.

What a photograph gets depends on the seed, the epoch and its id: not on the batch, the workers or the device.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from colorize_core.color.lab import network_scale
from colorize_core.data.crops import cut, draw_crops, resample
from colorize_core.data.degradation import GrayStyle, restyle
from colorize_core.errors import UserError


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training photograph; by default it is only mirrored."""

    flip: bool = True
    """Mirror one photograph in two from left to right."""
    crop: int | None = None
    """Side in pixels, a multiple of 32, of a square cut out at random; the whole photograph when empty."""
    zoom: float | None = None
    """Smallest share of a photograph's side that a random window shows; it is resampled to `crop`, or to the
    photograph's size. Without it squares are cut out as they are."""
    style: GrayStyle = field(default_factory=GrayStyle)
    """How the model's input is made to look old."""
    chroma: float = 1.0
    """What the true ab is multiplied by. Losses that end in a mean or a median of possible colors give pale ones;
    more than 1 makes up for it."""

    def __post_init__(self) -> None:
        """Raise UserError for a crop that networks cannot take, a zoom that is no share, and chroma that is none."""
        if self.crop is not None and (self.crop < 32 or self.crop % 32):
            raise UserError(f"crop = {self.crop}: must be a multiple of 32")
        if self.zoom is not None and not 0 < self.zoom < 1:
            raise UserError(f"zoom = {self.zoom}: must be between 0 and 1")
        if self.chroma <= 0:
            raise UserError(f"chroma = {self.chroma}: must be more than 0")

    def require_fit(self, size: int) -> None:
        """Raise UserError for a crop that cannot be had from photographs of `size` pixels."""
        if self.crop is None:
            return
        if self.zoom is None and self.crop >= size:
            raise UserError(f"crop = {self.crop}: must be smaller than the photographs, which have {size} px")
        if self.crop > size:
            raise UserError(f"crop = {self.crop}: must not be larger than the photographs, which have {size} px")


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
        sees (B, 1, s, s), the true lightness (B, 1, s, s) and the ab that it should learn (B, 2, s, s).

    Raises:
        UserError: the crop does not fit (`Augmentation.require_fit`).
    """
    size = L.shape[-1]
    rule.require_fit(size)
    draw = partial(draw_uniform, ids, epoch, seed)
    if rule.zoom:
        windows = draw_crops(draw("zoom", 4), size, rule.zoom)
        L, ab = resample(torch.cat((L, ab), dim=1), windows, rule.crop or size).split((1, 2), dim=1)
    elif rule.crop:
        L, ab = cut(torch.cat((L, ab), dim=1), draw("crop", 2), rule.crop).split((1, 2), dim=1)
    if rule.flip:
        mirrored = (draw("flip", 1) < 0.5).to(L.device)[:, :, None, None]
        L, ab = (torch.where(mirrored, pixels.flip(-1), pixels) for pixels in (L, ab))
    seen = restyle(L, ab, rule.style, draw)
    L, ab = network_scale(L, ab)
    return seen, L, ab * rule.chroma


def draw_uniform(ids: Sequence[str], epoch: int, seed: int, name: str, count: int) -> Tensor:
    """Uniform random numbers in [0, 1) that depend on nothing but the arguments: (B, count) float64 on the CPU.

    They are the digest of a hash, so that they are the same on every machine and with every version of torch.
    """
    digests = (hashlib.shake_128(f"{seed}/{epoch}/{name}/{id}".encode()).digest(4 * count) for id in ids)
    words = np.frombuffer(b"".join(digests), dtype="<u4").reshape(len(ids), count)
    return torch.from_numpy(words / 2.0**32)
