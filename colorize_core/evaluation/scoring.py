"""Scoring predictions on photographs whose colors are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from colorize_core import metrics
from colorize_core.color.bins import bin_prior
from colorize_core.color.lab import lab_to_rgb, rgb_to_lab, to_uint8
from colorize_core.inference.prediction import colorize_lightness

GRAY, CONSTANT, ORACLE = "gray", "constant color", "oracle color"
BASELINES = (GRAY, CONSTANT, ORACLE)

# Ranges of 8-bit a and b in the paper unet-gan's training set, to which its two channels are scaled.
_UNET_GAN_LOW, _UNET_GAN_HIGH = (42.0, 20.0), (226.0, 223.0)


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


@dataclass(frozen=True)
class _Truth:
    """What of a batch of photographs every prediction is compared with, computed once for all."""

    rgb: Tensor
    L: Tensor
    ab: Tensor
    colorfulness: Tensor
    lpips: list[Tensor]
    lpips_unit: list[Tensor]
    """Features of LPIPS; none where they are not wanted."""


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
        """Weigh the bins."""
        self._bin_weights = metrics.rarity(bin_prior(self.color_prior))

    @torch.inference_mode()
    def __call__(self, predicted: Mapping[str, Tensor], rgb: Tensor) -> dict[str, dict[str, Tensor]]:
        """Score several predictions of the same photographs.

        Args:
            predicted: (B, 2, H, W) float ab by name, CIELAB units.
            rgb: (B, 3, H, W) uint8, the photographs themselves.

        Returns:
            By name, (B,) float by metric (what `columns` needs).
        """
        truth = self._describe(rgb)
        return {name: self._score(ab, truth) for name, ab in predicted.items()}

    def _describe(self, rgb: Tensor) -> _Truth:
        features = self.lpips.features(rgb) if self.lpips else []
        unit = self.lpips.features(rgb, unit_range=True) if self.lpips and "gray-to-glory" in self.definitions else []
        return _Truth(rgb, *split_rgb(rgb), metrics.colorfulness(rgb), features, unit)

    def _score(self, predicted_ab: Tensor, truth: _Truth) -> dict[str, Tensor]:
        image = assemble(truth.L, predicted_ab)
        error = metrics.mse(image, truth.rgb)
        area, weight = metrics.rebalanced_auc(predicted_ab, truth.ab, self._bin_weights)
        lab, true_lab = rgb_to_lab(image.float() / 255), torch.cat((truth.L, truth.ab), dim=1)
        scores = {
            "mae_ab": metrics.mae_ab(predicted_ab, truth.ab),
            "mse": error,
            "psnr": metrics.psnr_of_mse(error),
            "ssim": metrics.ssim(image, truth.rgb),
            "ssim_uniform": metrics.ssim_uniform(image, truth.rgb),
            "ciede2000": metrics.ciede2000(lab, true_lab),
            "colorfulness": metrics.colorfulness(image),
            "colorfulness_truth": truth.colorfulness,
            "auc": metrics.auc(predicted_ab, truth.ab),
            "auc_rebalanced": area,
            "auc_weight": weight,
        }
        if self.lpips:
            scores["lpips"] = self.lpips.distance(self.lpips.features(image), truth.lpips)
        if self.lpips and truth.lpips_unit:
            made = self.lpips.features(image, unit_range=True)
            scores["lpips_unit"] = self.lpips.distance(made, truth.lpips_unit)
        if "unet-gan" in self.definitions:
            scores |= _unet_gan(predicted_ab, truth.ab)
        return scores


def _unet_gan(predicted_ab: Tensor, ab: Tensor) -> dict[str, Tensor]:
    """PSNR and SSIM of the two channels of ab, scaled to [0, 1] by the ranges of the paper's training set."""
    low = torch.tensor(_UNET_GAN_LOW, device=ab.device).view(1, 2, 1, 1)
    width = torch.tensor(_UNET_GAN_HIGH, device=ab.device).view(1, 2, 1, 1) - low
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
        constant: a and b of the constant-color baseline.
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
