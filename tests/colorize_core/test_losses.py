import math

import pytest
import torch

from colorize_core import losses


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """A prediction and a truth on the network's scale."""
    generator = torch.Generator().manual_seed(0)
    predicted, truth = torch.rand(2, 3, 2, 8, 6, generator=generator) * 2 - 1
    return predicted, truth


def test_l1_is_the_mean_absolute_difference(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    total, _ = losses.pixel_loss({"l1": 1.0}, *pair)
    torch.testing.assert_close(total, (pair[0] - pair[1]).abs().mean())


def test_mse_is_the_mean_squared_difference(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    total, _ = losses.pixel_loss({"mse": 1.0}, *pair)
    torch.testing.assert_close(total, (pair[0] - pair[1]).square().mean())


def test_pixel_loss_is_the_weighted_sum(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    difference = pair[0] - pair[1]
    total, _ = losses.pixel_loss({"l1": 100.0, "mse": 0.5}, *pair)
    torch.testing.assert_close(total, 100 * difference.abs().mean() + 0.5 * difference.square().mean())


def test_parts_are_unweighted(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    _, parts = losses.pixel_loss({"l1": 100.0}, *pair)
    torch.testing.assert_close(parts, {"l1": (pair[0] - pair[1]).abs().mean()})


def test_parts_hold_no_graph(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    _, parts = losses.pixel_loss({"l1": 1.0}, pair[0].requires_grad_(), pair[1])
    assert not parts["l1"].requires_grad


@pytest.mark.parametrize("name", sorted(losses.PIXEL_LOSSES))
def test_a_perfect_prediction_costs_nothing(name: str, pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    assert losses.PIXEL_LOSSES[name](pair[0], pair[0].clone()).item() == 0


@pytest.mark.parametrize("name", sorted(losses.PIXEL_LOSSES))
def test_a_worse_prediction_costs_more(name: str, pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    loss, truth = losses.PIXEL_LOSSES[name], pair[1]
    assert loss(truth + 0.2, truth) > loss(truth + 0.1, truth) > 0


@pytest.mark.parametrize("name", sorted(losses.PIXEL_LOSSES))
def test_every_pixel_loss_gives_a_gradient(name: str, pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    predicted = pair[0].requires_grad_()
    losses.PIXEL_LOSSES[name](predicted, pair[1]).backward()
    assert predicted.grad is not None
    assert (predicted.grad != 0).all()


@pytest.mark.parametrize("real", [True, False])
def test_adversarial_bce_at_chance_is_ln_2(real: bool) -> None:
    assert losses.adversarial_bce(torch.zeros(2, 1, 30, 30), real).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("logit", [-3.0, -0.5, 0.7, 4.0])
def test_adversarial_bce_against_real_is_softplus_of_minus_the_logit(logit: float) -> None:
    loss = losses.adversarial_bce(torch.full((2, 1, 3, 3), logit), True)
    assert loss.item() == pytest.approx(math.log1p(math.exp(-logit)))


@pytest.mark.parametrize("logit", [-3.0, -0.5, 0.7, 4.0])
def test_adversarial_bce_against_fake_is_softplus_of_the_logit(logit: float) -> None:
    loss = losses.adversarial_bce(torch.full((2, 1, 3, 3), logit), False)
    assert loss.item() == pytest.approx(math.log1p(math.exp(logit)))


def test_adversarial_bce_stays_finite_for_a_discriminator_that_is_sure() -> None:
    assert losses.adversarial_bce(torch.full((1, 1, 2, 2), -1000.0), True).item() == pytest.approx(1000)


def test_discriminator_bce_at_chance_is_ln_2() -> None:
    chance = torch.zeros(2, 1, 4, 4)
    assert losses.discriminator_bce(chance, chance).item() == pytest.approx(math.log(2))


def test_discriminator_bce_halves_the_sum_of_its_two_terms() -> None:
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 3.0])
    reference = -(torch.sigmoid(real).log().mean() + (1 - torch.sigmoid(fake)).log().mean()) / 2
    torch.testing.assert_close(losses.discriminator_bce(real, fake), reference)
