"""Losses of the generator by name, and their weighted sum. Predictions and truths are on the network's scale.

Every loss is a mean over images and pixels, so that its weight does not depend on batch or picture size.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorize_core.color.bins import bin_prior, nearest_bins, rebalancing_weights, soft_encode
from colorize_core.color.lab import denormalize_ab
from colorize_core.training.perceptual import VGGDistance

LOSSES = ("l1", "mse", "smooth_l1", "tv", "color_weighted", "perceptual", "cross_entropy")
LOSSES_WITHOUT_TRUTH = ("tv",)


def total_variation(ab: Tensor) -> Tensor:
    """Anisotropic total variation (Rudin et al. 1992): mean absolute step to the right plus mean absolute step down.

    Args:
        ab: (B, 2, H, W).
    """
    return ab.diff(dim=-1).abs().mean() + ab.diff(dim=-2).abs().mean()


def color_weighted(predicted: Tensor, truth: Tensor, bin_weights: Tensor) -> Tensor:
    """Squared error in which rare colors count more (the paper resnet18-losses, whose poster leaves the weights open).

    Args:
        predicted: (B, 2, H, W).
        truth: the same shape.
        bin_weights: (313,) weight of a pixel by the bin of its true color (`bins.rebalancing_weights`).
    """
    weights = bin_weights[nearest_bins(denormalize_ab(truth))]
    return (weights * (predicted - truth).square()).mean()


def bin_cross_entropy(logits: Tensor, truth: Tensor, bin_weights: Tensor) -> Tensor:
    """Cross-entropy against soft-encoded colors, rebalanced (Zhang et al. 2016, eq. 2 and 3).

    Args:
        logits: (B, 313, h, w), of a side that divides the truth's; the truth is averaged down to it.
        truth: (B, 2, H, W).
        bin_weights: (313,) weight of a pixel by its likeliest bin.
    """
    indices, shares = soft_encode(denormalize_ab(F.adaptive_avg_pool2d(truth, (logits.shape[-2], logits.shape[-1]))))
    likelihood = torch.log_softmax(logits.float(), dim=1).gather(1, indices)
    likeliest = indices.gather(1, shares.argmax(dim=1, keepdim=True))
    return -(bin_weights[likeliest] * shares * likelihood).sum(dim=1).mean()


class ColorLoss(nn.Module):
    """Weighted sum of the named losses."""

    bin_weights: Tensor

    def __init__(
        self,
        weights: Mapping[str, float],
        *,
        smooth_l1_beta: float = 1.0,
        color_prior: Sequence[Sequence[float]] = (),
        prior_smoothing: float = 0.5,
        vgg_weights: str | None = None,
    ) -> None:
        """Build the losses that have a weight.

        Args:
            weights: weight by name, names from `LOSSES`.
            smooth_l1_beta: error on the network's scale at which smooth_l1 turns from squared to absolute.
            color_prior: of the dataset, for color_weighted and cross_entropy.
            prior_smoothing: part of the uniform distribution mixed into the prior (Zhang et al. 2016: 0.5).
            vgg_weights: path or URI of torchvision's VGG-16 state dict, for perceptual; None downloads it.

        Raises:
            UserError: the weights of VGG-16 cannot be had.
        """
        super().__init__()
        self.weights = dict(weights)
        self._beta = smooth_l1_beta
        if {"color_weighted", "cross_entropy"} & weights.keys():
            rebalanced = rebalancing_weights(bin_prior(color_prior), prior_smoothing)
            self.register_buffer("bin_weights", rebalanced.float())
        if "perceptual" in weights:
            self.vgg = VGGDistance(vgg_weights)

    def forward(self, outputs: Mapping[str, Tensor], L: Tensor, ab: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compare what a model made with the truth.

        Args:
            outputs: of `ColorModel.outputs`: ab (B, 2, H, W), and logits where the model has bins.
            L: (B, 1, H, W) lightness of the true photograph.
            ab: (B, 2, H, W) its colors.

        Returns:
            The weighted sum, and each unweighted loss by name, detached.
        """
        total = ab.new_zeros(())
        parts: dict[str, Tensor] = {}
        for name, weight in self.weights.items():
            value = self._term(name, outputs, L, ab)
            total = total + weight * value
            parts[name] = value.detach()
        return total, parts

    def _term(self, name: str, outputs: Mapping[str, Tensor], L: Tensor, ab: Tensor) -> Tensor:
        predicted = outputs["ab"].float()
        match name:
            case "l1":
                return F.l1_loss(predicted, ab)
            case "mse":
                return F.mse_loss(predicted, ab)
            case "smooth_l1":
                return F.smooth_l1_loss(predicted, ab, beta=self._beta)
            case "tv":
                return total_variation(predicted)
            case "color_weighted":
                return color_weighted(predicted, ab, self.bin_weights)
            case "perceptual":
                return self.vgg(L, predicted, ab)
            case "cross_entropy":
                return bin_cross_entropy(outputs["logits"], ab, self.bin_weights)
        raise KeyError(name)
