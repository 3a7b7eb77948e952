"""Scoring models on photographs whose colours are known."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from colorize_core import metrics
from colorize_core.color import lab_to_rgb, rgb_to_lab, to_uint8
from colorize_core.prediction import colorize_lightness

GRAY, CONSTANT = "gray", "constant color"
BASELINES = (GRAY, CONSTANT)


def split_rgb(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Exact uint8 sRGB (B, 3, H, W) to CIELAB L (B, 1, H, W) and ab (B, 2, H, W)."""
    lab = rgb_to_lab(rgb.float() / 255)
    return lab[:, :1], lab[:, 1:]


def assemble(L: Tensor, ab: Tensor) -> Tensor:
    """Lightness and predicted ab to the uint8 sRGB (B, 3, H, W) that is scored: clipped and rounded."""
    return to_uint8(lab_to_rgb(torch.cat((L, ab), dim=1)))


@torch.inference_mode()
def score(predicted_ab: Tensor, rgb: Tensor, lpips: nn.Module | None = None) -> dict[str, Tensor]:
    """Metrics of a prediction, per image.

    Args:
        predicted_ab: (B, 2, H, W) float, CIELAB units.
        rgb: (B, 3, H, W) uint8, the photographs themselves.
        lpips: a `metrics.LPIPS`, where its weights are at hand.

    Returns:
        (B,) float by metric name.
    """
    L, ab = split_rgb(rgb)
    image = assemble(L, predicted_ab)
    scores = {
        "mae_ab": metrics.mae_ab(predicted_ab, ab),
        "psnr": metrics.psnr(image, rgb),
        "ssim": metrics.ssim(image, rgb),
    }
    if lpips is not None:
        scores["lpips"] = lpips(image, rgb)
    return scores


@torch.inference_mode()
def predictions(
    models: Mapping[str, tuple[nn.Module, int]], rgb: Tensor, constant: tuple[float, float]
) -> dict[str, Tensor]:
    """The ab (B, 2, H, W) of every baseline and model for exact uint8 sRGB (B, 3, H, W), by name.

    Args:
        models: network and working size by name.
        rgb: the photographs; models see their lightness alone.
        constant: a and b of the constant-colour baseline.
    """
    L, ab = split_rgb(rgb)
    by_name = {GRAY: metrics.gray(ab), CONSTANT: metrics.constant_color(ab, constant)}
    for name, (model, working_size) in models.items():
        by_name[name] = colorize_lightness(model, L, working_size)
    return by_name
