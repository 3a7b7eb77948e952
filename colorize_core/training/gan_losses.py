"""Adversarial losses and gradient penalties. Logits come from a discriminator and may have any shape."""

import torch
import torch.nn.functional as F
from torch import Tensor

from colorize_core.training.options import GanLoss


def discriminator_loss(kind: GanLoss, real: Tensor, fake: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Compute the loss of the discriminator.

    Args:
        kind: bce (Goodfellow et al. 2014; ln 2 = 0.693 is chance) and lsgan (Mao et al. 2017) are the mean of the
            terms of real and fake, which pix2pix also halves; hinge (Lim and Ye 2017) and wgan_gp (Arjovsky et al.
            2017) are their sum.
        real: logits of true colors.
        fake: logits of predicted colors.
        label_smoothing: the label of real is 1 minus this (Salimans et al. 2016, one-sided), for bce and lsgan.
    """
    label = torch.full_like(real, 1 - label_smoothing)
    match kind:
        case "bce":
            return (F.binary_cross_entropy_with_logits(real, label) + F.softplus(fake).mean()) / 2
        case "lsgan":
            return (F.mse_loss(real, label) + fake.square().mean()) / 2
        case "hinge":
            return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
        case "wgan_gp":
            return fake.mean() - real.mean()


def generator_loss(kind: GanLoss, fake: Tensor) -> Tensor:
    """Compute the adversarial loss of the generator: its colors should be classified as real."""
    match kind:
        case "bce":
            return F.softplus(-fake).mean()
        case "lsgan":
            return (fake - 1).square().mean()
        case "hinge" | "wgan_gp":
            return -fake.mean()


def mix(real: Tensor, fake: Tensor) -> Tensor:
    """Interpolate each pair of real and fake (B, 2, H, W) at a uniformly random point (Gulrajani et al. 2017)."""
    share = torch.rand((len(real), 1, 1, 1), device=real.device, dtype=real.dtype)
    return torch.lerp(real, fake, share).requires_grad_()


def squared_gradients(logits: Tensor, ab: Tensor) -> Tensor:
    """Compute the squared norm of the gradient of each image's mean logit by its colors, differentiable once more.

    Args:
        logits: (B, ...) of a discriminator whose logits depend on one image each (no BatchNorm).
        ab: (B, 2, H, W), the leaf from which they were computed. Lightness is the condition and not penalized.

    Returns:
        (B,) float.
    """
    (gradient,) = torch.autograd.grad(logits.flatten(1).mean(1).sum(), ab, create_graph=True)
    return gradient.float().square().sum(dim=(1, 2, 3))


def gradient_penalty(logits: Tensor, mixed: Tensor) -> Tensor:
    """WGAN-GP: mean squared difference of the gradient norm at mixed points from 1 (Gulrajani et al. 2017, eq. 3)."""
    return ((squared_gradients(logits, mixed) + 1e-12).sqrt() - 1).square().mean()


def r1_penalty(logits: Tensor, real: Tensor) -> Tensor:
    """R1: half the mean squared gradient norm at real colors (Mescheder et al. 2018, eq. 9, gamma 1)."""
    return squared_gradients(logits, real).mean() / 2
