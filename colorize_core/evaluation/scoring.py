"""Scoring of predictions against photographs in color."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from colorize_core import metrics
from colorize_core.color.bins import bin_prior
from colorize_core.color.lab import lab_to_rgb, rgb_to_lab, to_uint8
from colorize_core.evaluation.rows import CONSTANT, ENSEMBLE, GRAY, ORACLE, ceiling_name, ceiling_sizes
from colorize_core.inference.ensemble import mix
from colorize_core.inference.options import EnsembleOptions
from colorize_core.inference.prediction import Network, colorize_lightness
from colorize_core.metrics.comparison import Comparison, Photographs
from colorize_core.metrics.registry import METRICS, Metric, columns_of, validation_metrics


def split_rgb(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Convert uint8 sRGB (B, 3, H, W) to CIELAB L (B, 1, H, W) and ab (B, 2, H, W)."""
    lab = rgb_to_lab(rgb.float() / 255)
    return lab[:, :1], lab[:, 1:]


def assemble(L: Tensor, ab: Tensor) -> Tensor:
    """Combine lightness and predicted ab to the uint8 sRGB (B, 3, H, W) that is scored, clipped and rounded."""
    return to_uint8(lab_to_rgb(torch.cat((L, ab), dim=1)))


@torch.inference_mode()
def score(predicted_ab: Tensor, rgb: Tensor) -> dict[str, Tensor]:
    """Compute the metrics that training reports on the validation split.

    Args:
        predicted_ab: (B, 2, H, W) float, CIELAB units.
        rgb: (B, 3, H, W) uint8, the photographs.

    Returns:
        (B,) float by name of the metric.
    """
    return _scores(predicted_ab, Photographs(rgb, *split_rgb(rgb)), validation_metrics())


@dataclass
class Scorer:
    """Computes all metrics of an evaluation."""

    color_prior: Sequence[Sequence[float]]
    """Color prior of the dataset, for the rebalanced AuC."""
    lpips: metrics.LPIPS | None = None
    """Network of LPIPS; None leaves LPIPS out."""
    definitions: Sequence[str] = ()
    """Papers whose own metrics are computed too: names of tables in `metrics.registry`."""

    def __post_init__(self) -> None:
        """Select the metrics to compute, and weight the color bins."""
        self._bin_weights = metrics.rarity(bin_prior(self.color_prior))
        shown = columns_of(self.definitions)
        self._computed = [METRICS[name] for name in dict.fromkeys(name for each in shown for name in each.needs)]

    @torch.inference_mode()
    def __call__(self, predicted: Mapping[str, Tensor], rgb: Tensor) -> dict[str, dict[str, Tensor]]:
        """Score several predictions of the same photographs.

        Args:
            predicted: (B, 2, H, W) float ab by name, CIELAB units.
            rgb: (B, 3, H, W) uint8, the photographs.

        Returns:
            By name of the prediction, (B,) float by metric.
        """
        truth = Photographs(rgb, *split_rgb(rgb), bin_weights=self._bin_weights, network=self.lpips)
        return {name: _scores(ab, truth, self._computed) for name, ab in predicted.items()}


def _scores(predicted_ab: Tensor, truth: Photographs, computed: Iterable[Metric]) -> dict[str, Tensor]:
    batch = Comparison(predicted_ab, assemble(truth.L, predicted_ab), truth)
    scores = {}
    for metric in computed:
        if metric.score and (values := metric.score(batch)) is not None:
            scores[metric.name] = values
    return scores


@torch.inference_mode()
def predictions(
    models: Mapping[str, tuple[Network, int]],
    rgb: Tensor,
    constant: tuple[float, float],
    ensemble: EnsembleOptions | None = None,
) -> dict[str, Tensor]:
    """Predict the ab (B, 2, H, W) of every baseline, ceiling and model, and of their ensemble, by name.

    Args:
        models: network and working size by name.
        rgb: photographs (B, 3, H, W) uint8 sRGB; models get only their lightness.
        constant: a and b of the constant-color baseline.
        ensemble: how the predictions of the models are mixed; None for no ensemble.
    """
    L, ab = split_rgb(rgb)
    by_name = {
        GRAY: metrics.gray(ab),
        CONSTANT: metrics.constant_color(ab, constant),
        ORACLE: metrics.best_constant(ab),
    }
    for working_size in ceiling_sizes((size for _, size in models.values()), rgb.shape[-1]):
        by_name[ceiling_name(working_size)] = metrics.ceiling(ab, working_size)
    for name, (model, working_size) in models.items():
        by_name[name] = colorize_lightness(model, L, working_size)
    if ensemble:
        by_name[ENSEMBLE] = mix({name: by_name[name] for name in models}, ensemble)
    return by_name
