"""Columns of an evaluation's table: from scores per image to one number of a set, and how to show it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from colorize_core.metrics import PSNR_CAP

Scores = Mapping[str, np.ndarray]
"""(N,) float64 by name, one value per image, in the order of their keys."""

_FIXED_BATCH = 32  # photographs that the paper unet-gan scores, always the same


@dataclass(frozen=True)
class Column:
    """One column."""

    name: str
    title: str
    digits: int
    higher_is_better: bool
    needs: tuple[str, ...]
    """Scores it is computed from; without them there is no column."""
    statistic: Callable[[Scores], float]

    def value(self, scores: Scores, chosen: np.ndarray | None = None) -> float:
        """Of all images, or of those at the given indices."""
        picked = {name: scores[name] if chosen is None else scores[name][chosen] for name in self.needs}
        return float(self.statistic(picked))


def _mean(name: str, title: str, digits: int, higher: bool) -> Column:
    return Column(name, title, digits, higher, (name,), lambda scores: scores[name].mean())


def _pooled_psnr(scores: Scores) -> float:
    error = scores["mse"].mean()
    return min(10 * np.log10(255.0**2 / error), PSNR_CAP) if error else PSNR_CAP


_COLORFULNESS = ("colorfulness", "colorfulness_truth")

STANDARD = (
    _mean("mae_ab", "MAE (ab/110)", 4, False),
    _mean("psnr", "PSNR (dB)", 2, True),
    _mean("ssim", "SSIM", 4, True),
    _mean("lpips", "LPIPS", 4, False),
    _mean("ciede2000", "CIEDE2000", 2, False),
    Column(
        "colorfulness_delta",
        "Δ colorfulness",
        2,
        False,
        _COLORFULNESS,
        lambda scores: abs(scores["colorfulness"].mean() - scores["colorfulness_truth"].mean()),
    ),
    _mean("auc", "AuC", 4, True),
)
"""What every table shows."""

MORE = (
    _mean("mse", "MSE (RGB)", 1, False),
    Column("psnr_pooled", "PSNR of the pooled MSE (dB)", 2, True, ("mse",), _pooled_psnr),
    _mean("ssim_uniform", "SSIM (7x7)", 4, True),
    _mean("colorfulness", "colorfulness", 2, True),
    Column(
        "colorfulness_error",
        "Δ colorfulness per image",
        2,
        False,
        _COLORFULNESS,
        lambda scores: np.abs(scores["colorfulness"] - scores["colorfulness_truth"]).mean(),
    ),
    Column(
        "auc_rebalanced",
        "AuC, rebalanced",
        4,
        True,
        ("auc_rebalanced", "auc_weight"),
        lambda scores: np.average(scores["auc_rebalanced"], weights=scores["auc_weight"]),
    ),
)
"""What the second table shows."""

DEFINITIONS: dict[str, tuple[Column, ...]] = {
    "gray-to-glory": (
        _mean("mae_ab", "MAE (gray-to-glory)", 4, False),
        _mean("lpips", "LPIPS of [-1, 1] (gray-to-glory)", 4, False),
        _mean("lpips_unit", "LPIPS of [0, 1] (gray-to-glory)", 4, False),
    ),
    "unet-gan": (
        Column(
            "psnr_ab_batch",
            f"PSNR of ab, {_FIXED_BATCH} photographs (unet-gan)",
            2,
            True,
            ("psnr_ab",),
            lambda scores: scores["psnr_ab"][:_FIXED_BATCH].mean(),
        ),
        Column(
            "ssim_ab_batch",
            f"SSIM of ab, {_FIXED_BATCH} photographs (unet-gan)",
            4,
            True,
            ("ssim_ab",),
            lambda scores: scores["ssim_ab"][:_FIXED_BATCH].mean(),
        ),
        _mean("psnr_ab", "PSNR of ab, all (unet-gan)", 2, True),
        _mean("ssim_ab", "SSIM of ab, all (unet-gan)", 4, True),
    ),
    "resnet18-losses": (
        _mean("ssim_uniform", "SSIM (resnet18-losses)", 4, True),
        _mean("psnr", "PSNR (resnet18-losses)", 2, True),
        _mean("mse", "MSE (resnet18-losses)", 1, False),
    ),
}
"""What each paper reports, as it computed it (docs/reference/metrics.md)."""
