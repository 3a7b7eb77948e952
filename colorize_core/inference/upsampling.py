"""Upsampling of chroma from the working size to the full size, strip by strip."""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Upsampling = Literal["guided", "bilinear"]

_EPSILON = 100.0  # squared units of L: differences of lightness well below 10 do not indicate a change of color


class ChromaRows:
    """Upsampled chroma, computed for the requested rows; keeps the working height at full width in memory."""

    def __init__(self, ab: Tensor, L: Tensor, shape: tuple[int, int], upsampling: Upsampling) -> None:
        """Enlarge the columns; rows are enlarged on request.

        Args:
            ab: (1, 2, h, w) chroma at the working size, CIELAB units.
            L: (1, 1, h, w) lightness at the working size, in [0, 100].
            shape: full height and width.
            upsampling: bilinear, or guided by the lightness at full size.
        """
        height, width = shape
        small = linear_model(ab, L) if upsampling == "guided" else ab
        self._columns = _enlarge_columns(small, width)
        self._height, self._guided = height, upsampling == "guided"

    def __call__(self, rows: slice, L: Tensor) -> Tensor:
        """Return the chroma (1, 2, n, W) of a slice of rows, given their lightness (1, 1, n, W)."""
        above, weight = _neighbors(rows.start, rows.stop, self._columns.shape[2], self._height)
        if L.device.type == "cpu":
            from colorize_core.inference.kernels import enlarge_rows

            ab = torch.empty((1, 2, *L.shape[-2:]))
            lightness = L[0, 0].contiguous().numpy()
            enlarge_rows(self._columns[0].numpy(), above, weight, lightness, self._guided, ab[0].numpy())
            return ab
        first, share = torch.from_numpy(above).to(L.device), torch.from_numpy(weight).to(L.device)[:, None]
        second = (first + 1).clamp_max(self._columns.shape[2] - 1)
        found = torch.lerp(self._columns[:, :, first], self._columns[:, :, second], share)
        return found[:, :2] * L + found[:, 2:] if self._guided else found


def _enlarge_columns(small: Tensor, width: int) -> Tensor:
    """Enlarge (1, C, h, w) to (1, C, h, width), bilinear."""
    if small.device.type != "cpu":
        return F.interpolate(small, (small.shape[2], width), mode="bilinear", align_corners=False)
    from colorize_core.inference.kernels import enlarge_columns

    columns = torch.empty((*small.shape[:3], width))
    left, weight = _neighbors(0, width, small.shape[3], width)
    enlarge_columns(small[0].contiguous().numpy(), left, weight, columns[0].numpy())
    return columns


def _neighbors(start: int, stop: int, small: int, large: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the source pixels of a bilinear enlargement along one axis, as `F.interpolate` with align_corners=False.

    Returns:
        For each target pixel from `start` to `stop`: the index of the source pixel before it, (n,) int64, and the
        weight of the source pixel after that one, (n,) float32.
    """
    position = np.clip((np.arange(start, stop) + 0.5) * (small / large) - 0.5, 0, small - 1)
    before = np.floor(position).astype(np.int64)
    return before, (position - before).astype(np.float32)


def linear_model(ab: Tensor, L: Tensor) -> Tensor:
    """Fit chroma as a linear function of lightness around each pixel: ab = slope L + offset.

    This is the fast guided filter (He and Sun 2015, arXiv:1505.00996), which fits slopes by least squares in windows
    of the small image and enlarges the coefficients, with one change. The original also averages the offsets over
    windows, which smooths the chroma and costs 1 to 4 dB against bilinear upsampling of the true chroma of photographs.
    Here the offset of a pixel is the remainder of its own chroma, so that the small image is reproduced exactly and
    lightness only adds detail.

    Args:
        ab: (B, 2, h, w) chroma.
        L: (B, 1, h, w) lightness in [0, 100].

    Returns:
        (B, 4, h, w): slopes of a and b, then their offsets.
    """
    if L.device.type != "cpu":
        return linear_model_of_tensors(ab, L)
    from colorize_core.inference.kernels import fit_lines

    lines = torch.empty((len(ab), 4, *ab.shape[-2:]))
    for chroma, lightness, line in zip(ab, L, lines, strict=True):
        fit_lines(chroma.contiguous().numpy(), lightness[0].contiguous().numpy(), np.float32(_EPSILON), line.numpy())
    return lines


def linear_model_of_tensors(ab: Tensor, L: Tensor) -> Tensor:
    """Compute `linear_model` in torch, for any device."""
    mean_L, mean_ab = _mean(L), _mean(ab)
    slope = (_mean(L * ab) - mean_L * mean_ab) / (_mean(L * L) - mean_L * mean_L + _EPSILON)
    slope = _mean(slope)
    return torch.cat((slope, ab - slope * L), dim=1)


def _mean(values: Tensor) -> Tensor:
    """Return means over 3 x 3 windows, with repeated edges; sums of slices take a fifth of the time of pooling."""
    padded = F.pad(values, (1, 1, 1, 1), mode="replicate")
    rows = padded[..., :-2, :] + padded[..., 1:-1, :] + padded[..., 2:, :]
    return (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9
