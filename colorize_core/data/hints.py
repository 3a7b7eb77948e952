"""Random color hints for training, from the true colors of a photograph (Zhang et al. 2017).

A hint is a square whose pixels all have the mean color that the photograph has there. As in the authors' training code
(richzhang/colorization-pytorch, util/util.py, add_color_patches_rand_gt), the number of hints is geometric, so that the
model also sees many photographs with few hints or none; sides are uniform; places are normal around the center, where
users point most often. A later hint covers an earlier one.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from colorize_core.data.augment import draw_uniform
from colorize_core.data.options import HintOptions


def draw_hints(ab: Tensor, ids: Sequence[str], epoch: int, options: HintOptions, seed: int) -> Tensor:
    """Draw the hints of a batch. They depend on the seed, the epoch and the photograph alone, as augmentation does.

    Args:
        ab: (B, 2, H, W) float, the target after augmentation; sides of at least `options.patch` pixels.
        ids: ids of the B photographs.
        epoch: number of the epoch; each epoch draws other hints.
        options: number and size of the hints.
        seed: seed of the run.

    Returns:
        (B, 3, H, W) on the device of ab and in its type: a and b, and the mask (see `models.base.ColorModel`).
    """
    shape = (ab.shape[2], ab.shape[3])
    counts = hint_counts(draw_uniform(ids, epoch, seed, "hint count", 1)[:, 0], options.stop_probability)
    most = int(counts.max())
    numbers = draw_uniform(ids, epoch, seed, "hints", 3 * most).reshape(len(ab), most, 3)
    boxes = hint_boxes(numbers, options.patch, shape)
    shown = torch.from_numpy(_last_hints(boxes.numpy(), counts.numpy(), shape)).to(ab.device)
    known = F.pad(mean_colors(ab, boxes.to(ab.device)), (0, 0, 0, 1), value=1.0)
    by_number = F.pad(known, (1, 0))  # number 0 stands for no hint
    return by_number.gather(2, shown.flatten(1)[:, None].expand(-1, 3, -1)).unflatten(2, shape)


def hint_counts(numbers: Tensor, stop_probability: float) -> Tensor:
    """Turn uniform numbers (B,) in [0, 1) into geometric ones: P(n) = p (1 - p)^n for n = 0, 1, ..., int64.

    This inverts the distribution function. The mean is (1 - p) / p.
    """
    return (torch.log1p(-numbers) / torch.log1p(torch.tensor(-stop_probability, dtype=torch.float64))).floor().long()


def hint_boxes(numbers: Tensor, patch: int, shape: tuple[int, int]) -> Tensor:
    """Choose the squares of hints.

    Args:
        numbers: (B, N, 3) float64 in [0, 1), for side, top and left.
        patch: largest side in pixels; sides from 1 to `patch` are equally likely.
        shape: height and width of the photographs.

    Returns:
        (B, N, 3) int64: side, top, left. With r the number of possible tops, top is normal with mean r / 2 and
        deviation r / 4, limited to the photograph and rounded down; left likewise.
    """
    sides = (numbers[..., :1] * patch).floor() + 1
    possible = torch.tensor(shape, dtype=torch.float64) - sides + 1
    places = possible / 2 + possible / 4 * torch.special.ndtri(numbers[..., 1:])
    return torch.cat((sides, torch.minimum(places.clamp_min(0), possible - 1).floor()), dim=-1).long()


def _last_hints(boxes: np.ndarray, counts: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return, for each pixel (B, H, W), the number of the last hint that covers it, from 1; 0 without one."""
    shown = np.zeros((len(boxes), *shape), np.int64)
    for numbers, squares, count in zip(shown, boxes.tolist(), counts.tolist(), strict=True):
        for number, (side, top, left) in enumerate(squares[:count], start=1):
            numbers[top : top + side, left : left + side] = number
    return shown


def mean_colors(ab: Tensor, boxes: Tensor) -> Tensor:
    """Compute the mean colors (B, 2, N) of ab (B, 2, H, W) in squares (B, N, 3), as of `hint_boxes`.

    Sums come from an integral image in float64, which takes a few tensor operations for all squares together.
    """
    integral = F.pad(ab.double().cumsum(2).cumsum(3), (1, 0, 1, 0))
    side, top, left = boxes.unbind(2)

    def sums(rows: Tensor, columns: Tensor) -> Tensor:
        places = (rows * integral.shape[3] + columns)[:, None].expand(-1, ab.shape[1], -1)
        return integral.flatten(2).gather(2, places)

    bottom, right = top + side, left + side
    total = sums(bottom, right) - sums(top, right) - sums(bottom, left) + sums(top, left)
    return (total / side[:, None] ** 2).to(ab.dtype)
