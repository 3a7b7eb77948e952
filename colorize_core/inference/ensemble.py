"""Mixing of the chroma that several models predict for the same photographs."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor

from colorize_core.color.lab import chroma
from colorize_core.inference.options import EnsembleOptions


def mix(predicted: Mapping[str, Tensor], options: EnsembleOptions) -> Tensor:
    """Mix predictions.

    Args:
        predicted: (B, 2, H, W) a and b in CIELAB units, by name of the model; at least two.
        options: weights of the mean, or the model around which the mean of the others is limited.

    Returns:
        (B, 2, H, W) a and b in CIELAB units.
    """
    averaged = {name: ab for name, ab in predicted.items() if name != options.calm}
    weights = [options.weights.get(name, 1.0) for name in averaged]
    terms = (ab * (weight / sum(weights)) for weight, ab in zip(weights, averaged.values(), strict=True))
    mean = sum(terms, start=torch.zeros(()))
    if options.calm is None or options.limit is None:
        return mean
    return limit_around(predicted[options.calm], mean, options.limit)


def limit_around(calm: Tensor, bold: Tensor, limit: float) -> Tensor:
    """Move bold colors toward calm ones until they differ by at most `limit`.

    Args:
        calm: (B, 2, H, W) a and b in CIELAB units.
        bold: (B, 2, H, W).
        limit: largest distance in the plane of a and b.

    Returns:
        (B, 2, H, W): calm + (bold - calm) * min(1, limit / |bold - calm|).
    """
    difference = bold - calm
    distance = chroma(difference)[:, None]
    return calm + difference * (limit / distance.clamp_min(limit))


def disagreement(predicted: Sequence[Tensor]) -> Tensor:
    """Return how much predictions (B, 2, H, W) of at least two models differ, (B,).

    This is the distance of a and b, in CIELAB units, averaged over the pixels and over all pairs of models.
    """
    distances = [chroma(one - other).mean((1, 2)) for one, other in combinations(predicted, 2)]
    return torch.stack(distances).mean(0)
