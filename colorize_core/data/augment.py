"""Random augmentation of training photographs: flip, crop, zoom, degraded input, chroma scale.

The result depends on the seed, the epoch and the photograph's id, not on the batch, the workers or the device.
"""

import hashlib
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from colorize_core.color.lab import network_scale
from colorize_core.data.crops import random_crop, random_crop_boxes, resized_crop
from colorize_core.data.degradation import degrade
from colorize_core.data.options import AugmentOptions


def augment(
    L: Tensor, ab: Tensor, ids: Sequence[str], epoch: int, options: AugmentOptions, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Augment a batch of rows of Lab shards.

    Args:
        L: (B, 1, S, S) uint8 (see `color.lab_to_uint8`).
        ab: (B, 2, S, S) uint8.
        ids: ids of the B photographs.
        epoch: number of the epoch; each epoch draws other changes.
        options: kinds and ranges of the changes.
        seed: seed of the run.

    Returns:
        Three float32 tensors on the network's scale, on the device of L, with s = `options.crop` or S: the lightness
        that the model sees (B, 1, s, s), the true lightness (B, 1, s, s) and the target ab (B, 2, s, s).

    Raises:
        UserError: the crop is larger than the photographs (`AugmentOptions.require_fit`).
    """
    size = L.shape[-1]
    options.require_fit(size)
    draw = partial(draw_uniform, ids, epoch, seed)
    if options.zoom:
        boxes = random_crop_boxes(draw("zoom", 4), size, options.zoom)
        L, ab = resized_crop(torch.cat((L, ab), dim=1), boxes, options.crop or size).split((1, 2), dim=1)
    elif options.crop:
        L, ab = random_crop(torch.cat((L, ab), dim=1), draw("crop", 2), options.crop).split((1, 2), dim=1)
    if options.flip:
        mirrored = (draw("flip", 1) < 0.5).to(L.device)[:, :, None, None]
        L, ab = (torch.where(mirrored, pixels.flip(-1), pixels) for pixels in (L, ab))
    seen = degrade(L, ab, options.style, draw)
    L, ab = network_scale(L, ab)
    return seen, L, ab * options.chroma


def draw_uniform(ids: Sequence[str], epoch: int, seed: int, name: str, count: int) -> Tensor:
    """Draw uniform random numbers in [0, 1) that depend only on the arguments: (B, count) float64 on the CPU.

    They come from a hash and are therefore equal on every machine and with every version of torch.
    """
    digests = (hashlib.shake_128(f"{seed}/{epoch}/{name}/{id}".encode()).digest(4 * count) for id in ids)
    words = np.frombuffer(b"".join(digests), dtype="<u4").reshape(len(ids), count)
    return torch.from_numpy(words / 2.0**32)
