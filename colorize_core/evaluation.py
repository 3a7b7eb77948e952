"""Scoring predictions on photographs whose colours are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from colorize_core import metrics
from colorize_core.bins import bin_prior, rebalancing_weights
from colorize_core.color import lab_to_rgb, rgb_to_lab, to_uint8
from colorize_core.prediction import colorize_lightness

GRAY, CONSTANT, ORACLE = "gray", "constant color", "oracle color"
BASELINES = (GRAY, CONSTANT, ORACLE)

# Ranges of 8-bit a and b in seed 002's training set, to which its two channels are scaled.
_SEED_002_LOW, _SEED_002_HIGH = (42.0, 20.0), (226.0, 223.0)


def ceiling_name(working_size: int) -> str:
    """Name of the row of true chroma at a working size."""
    return f"ceiling {working_size} px"


def split_rgb(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Exact uint8 sRGB (B, 3, H, W) to CIELAB L (B, 1, H, W) and ab (B, 2, H, W)."""
    lab = rgb_to_lab(rgb.float() / 255)
    return lab[:, :1], lab[:, 1:]


def assemble(L: Tensor, ab: Tensor) -> Tensor:
    """Lightness and predicted ab to the uint8 sRGB (B, 3, H, W) that is scored: clipped and rounded."""
    return to_uint8(lab_to_rgb(torch.cat((L, ab), dim=1)))


@torch.inference_mode()
def score(predicted_ab: Tensor, rgb: Tensor) -> dict[str, Tensor]:
    """The metrics of training, per image.

    Args:
        predicted_ab: (B, 2, H, W) float, CIELAB units.
        rgb: (B, 3, H, W) uint8, the photographs themselves.

    Returns:
        (B,) float by name: mae_ab, psnr, ssim.
    """
    L, ab = split_rgb(rgb)
    image = assemble(L, predicted_ab)
    return {
        "mae_ab": metrics.mae_ab(predicted_ab, ab),
        "psnr": metrics.psnr(image, rgb),
        "ssim": metrics.ssim(image, rgb),
    }


@dataclass
class Scorer:
    """All metrics of an evaluation."""

    color_prior: Sequence[Sequence[float]]
    """Of the dataset, for the rebalanced AuC."""
    lpips: metrics.LPIPS | None = None
    """Where its weights are at hand."""
    definitions: Sequence[str] = ()
    """Papers whose own metrics are wanted too: names of `columns.DEFINITIONS`."""

    def __post_init__(self) -> None:
        """Weigh the bins; colours that training never saw count as the rarest that it saw."""
        prior = bin_prior(self.color_prior)
        self._bin_weights = rebalancing_weights(prior.clamp_min(float(prior[prior > 0].min())), smoothing=0)

    @torch.inference_mode()
    def __call__(self, predicted_ab: Tensor, rgb: Tensor) -> dict[str, Tensor]:
        """Arguments as of `score`; returns (B,) float by name (the scores of `columns`)."""
        L, ab = split_rgb(rgb)
        image = assemble(L, predicted_ab)
        error = metrics.mse(image, rgb)
        area, weight = metrics.rebalanced_auc(predicted_ab, ab, self._bin_weights)
        scores = {
            "mae_ab": metrics.mae_ab(predicted_ab, ab),
            "mse": error,
            "psnr": metrics.psnr_of_mse(error),
            "ssim": metrics.ssim(image, rgb),
            "ssim_uniform": metrics.ssim_uniform(image, rgb),
            "ciede2000": metrics.ciede2000(rgb_to_lab(image.float() / 255), torch.cat((L, ab), dim=1)),
            "colorfulness": metrics.colorfulness(image),
            "colorfulness_truth": metrics.colorfulness(rgb),
            "auc": metrics.auc(predicted_ab, ab),
            "auc_rebalanced": area,
            "auc_weight": weight,
        }
        if self.lpips:
            scores["lpips"] = self.lpips(image, rgb)
        if "seed-000" in self.definitions and self.lpips:
            scores["lpips_unit"] = self.lpips.in_unit_range(image, rgb)
        if "seed-002" in self.definitions:
            scores |= _seed_002(predicted_ab, ab)
        return scores


def _seed_002(predicted_ab: Tensor, ab: Tensor) -> dict[str, Tensor]:
    """PSNR and SSIM of the two channels of ab, scaled to [0, 1] by the ranges of the paper's training set."""
    low = torch.tensor(_SEED_002_LOW, device=ab.device).view(1, 2, 1, 1)
    width = torch.tensor(_SEED_002_HIGH, device=ab.device).view(1, 2, 1, 1) - low
    x, y = ((each + 128 - low) / width for each in (predicted_ab, ab))
    error = (x - y).double().square().mean(dim=(1, 2, 3))
    return {"psnr_ab": metrics.psnr_of_mse(error, peak=1.0), "ssim_ab": metrics.ssim_unit(x, y)}


@torch.inference_mode()
def predictions(
    models: Mapping[str, tuple[nn.Module, int]], rgb: Tensor, constant: tuple[float, float]
) -> dict[str, Tensor]:
    """The ab (B, 2, H, W) of every baseline, ceiling and model for exact uint8 sRGB (B, 3, H, W), by name.

    Args:
        models: network and working size by name.
        rgb: the photographs; models see their lightness alone.
        constant: a and b of the constant-colour baseline.
    """
    L, ab = split_rgb(rgb)
    by_name = {
        GRAY: metrics.gray(ab),
        CONSTANT: metrics.constant_color(ab, constant),
        ORACLE: metrics.best_constant(ab),
    }
    for working_size in sorted({size for _, size in models.values()}):
        by_name[ceiling_name(working_size)] = metrics.ceiling(ab, working_size)
    for name, (model, working_size) in models.items():
        by_name[name] = colorize_lightness(model, L, working_size)
    return by_name
