"""Losses by name. Each takes the prediction and the truth on the network's scale and returns a scalar."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

PIXEL_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": F.l1_loss,
    "mse": F.mse_loss,
}


def pixel_loss(weights: Mapping[str, float], predicted: Tensor, truth: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted sum of the named pixel losses.

    Args:
        weights: weight by loss name, names from `PIXEL_LOSSES`.
        predicted: (B, 2, H, W) float ab on the network's scale.
        truth: the same shape.

    Returns:
        The weighted sum, and each unweighted loss by name, detached.
    """
    total = predicted.new_zeros(())
    parts: dict[str, Tensor] = {}
    for name, weight in weights.items():
        value = PIXEL_LOSSES[name](predicted, truth)
        total = total + weight * value
        parts[name] = value.detach()
    return total, parts


def adversarial_bce(logits: Tensor, real: bool) -> Tensor:
    """Binary cross-entropy of patch logits (any shape) against all-real or all-fake (Isola et al. 2017, eq. 1)."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def discriminator_bce(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Mean of the real and the fake term; ln 2 = 0.693 is chance (Isola et al. 2017, section 3.3 halves it)."""
    return (adversarial_bce(real_logits, True) + adversarial_bce(fake_logits, False)) / 2
