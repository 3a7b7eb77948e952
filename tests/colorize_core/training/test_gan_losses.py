"""Adversarial losses and penalties against closed forms."""

import math
from typing import get_args

import pytest
import torch
from torch import nn

from colorize_core.training import gan_losses as adversarial
from colorize_core.training.gan_losses import discriminator_loss, generator_loss
from colorize_core.training.options import GanLoss

REAL, FAKE = torch.tensor([[2.0, -1.0]]), torch.tensor([[0.5, 3.0]])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_bce_is_the_mean_log_likelihood_halved() -> None:
    likelihood = (math.log(sigmoid(2)) + math.log(sigmoid(-1))) / 2
    likelihood += (math.log(1 - sigmoid(0.5)) + math.log(1 - sigmoid(3))) / 2
    assert discriminator_loss("bce", REAL, FAKE).item() == pytest.approx(-likelihood / 2)
    assert generator_loss("bce", FAKE).item() == pytest.approx(-(math.log(sigmoid(0.5)) + math.log(sigmoid(3))) / 2)


def test_bce_at_chance_is_ln_2() -> None:
    chance = torch.zeros(2, 1, 30, 30)
    assert discriminator_loss("bce", chance, chance).item() == pytest.approx(math.log(2))
    assert generator_loss("bce", chance).item() == pytest.approx(math.log(2))


def test_label_smoothing_touches_real_alone() -> None:
    smooth = discriminator_loss("bce", REAL, FAKE, label_smoothing=0.1) - discriminator_loss("bce", REAL, FAKE)
    assert smooth.item() == pytest.approx(0.1 * REAL.mean().item() / 2, rel=1e-5)
    best = torch.full((1, 1), 0.9)
    assert discriminator_loss("lsgan", best, torch.zeros(1, 1), label_smoothing=0.1).item() == pytest.approx(0)


def test_lsgan_is_squared() -> None:
    assert discriminator_loss("lsgan", REAL, FAKE).item() == pytest.approx(((1 + 4) / 2 + (0.25 + 9) / 2) / 2)
    assert generator_loss("lsgan", FAKE).item() == pytest.approx((0.25 + 4) / 2)


def test_hinge_is_a_hinge() -> None:
    assert discriminator_loss("hinge", REAL, FAKE).item() == pytest.approx((0 + 2) / 2 + (1.5 + 4) / 2)
    assert generator_loss("hinge", FAKE).item() == pytest.approx(-1.75)


def test_wgan_is_the_difference_of_means() -> None:
    assert discriminator_loss("wgan_gp", REAL, FAKE).item() == pytest.approx(1.75 - 0.5)
    assert generator_loss("wgan_gp", FAKE).item() == pytest.approx(-1.75)


@pytest.mark.parametrize("kind", get_args(GanLoss))
def test_losses_stay_finite_for_a_discriminator_that_is_sure(kind: str) -> None:
    sure = torch.full((1, 1, 2, 2), 1000.0)
    assert discriminator_loss(kind, -sure, sure).isfinite()
    assert generator_loss(kind, -sure).isfinite()


@pytest.mark.parametrize("kind", get_args(GanLoss))
def test_gradients_are_those_of_finite_differences(kind: str) -> None:
    real, fake = (torch.randn(2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda r, f: discriminator_loss(kind, r, f), (real, fake))
    assert torch.autograd.gradcheck(lambda f: generator_loss(kind, f), (fake,))


class Linear(nn.Module):
    """A critic whose gradient is known: `slope` at every value of ab, whatever the patch."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, ab: torch.Tensor) -> torch.Tensor:
        return self.slope * ab.sum(dim=(1, 2, 3), keepdim=True).expand(-1, 1, 5, 5)


def test_the_gradient_penalty_of_a_linear_critic() -> None:
    """Gradient s at each of 2*3*4 = 24 values: norm s sqrt(24), penalty (s sqrt(24) - 1)^2."""
    critic, ab = Linear(0.5), torch.rand(3, 2, 3, 4, requires_grad=True)
    penalty = adversarial.gradient_penalty(critic(ab), ab)
    assert penalty.item() == pytest.approx((0.5 * math.sqrt(24) - 1) ** 2, rel=1e-5)
    penalty.backward()
    expected = 2 * (0.5 * math.sqrt(24) - 1) * math.sqrt(24)
    assert critic.slope.grad is not None
    assert critic.slope.grad.item() == pytest.approx(expected, rel=1e-5)


def test_the_r1_penalty_of_a_linear_critic() -> None:
    critic, ab = Linear(0.5), torch.rand(3, 2, 3, 4, requires_grad=True)
    penalty = adversarial.r1_penalty(critic(ab), ab)
    assert penalty.item() == pytest.approx(0.5 * 0.25 * 24)
    penalty.backward()
    assert critic.slope.grad is not None
    assert critic.slope.grad.item() == pytest.approx(0.5 * 24, rel=1e-5)


def test_mixed_colors_lie_between_real_and_fake() -> None:
    real, fake = torch.zeros(50, 2, 2, 2), torch.ones(50, 2, 2, 2)
    mixed = adversarial.mix(real, fake)
    shares = mixed.detach().flatten(1)
    assert (shares == shares[:, :1]).all()  # one share for each image
    assert 0 <= shares.min() < 0.2
    assert 0.8 < shares.max() <= 1
    assert mixed.requires_grad
    assert mixed.is_leaf
