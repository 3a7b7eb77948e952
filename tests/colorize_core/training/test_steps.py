import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.transforms.functional import adjust_saturation

from colorize_core.checkpoint.state import pack_state, unpack_state
from colorize_core.color.lab import network_rgb
from colorize_core.discriminators.patchgan import PatchGAN
from colorize_core.discriminators.rgb import RGBDiscriminator
from colorize_core.models import build_model
from colorize_core.models.base import ColorModel
from colorize_core.training.color_loss import ColorLoss
from colorize_core.training.losses import LossOptions
from colorize_core.training.optimizer import ScheduledOptimizer
from colorize_core.training.options import DiscriminatorOptions, GanLoss
from colorize_core.training.steps import (
    AdversarialStep,
    Batch,
    Outputs,
    Step,
    SupervisedStep,
    running_average,
    unwrap,
)

pytestmark = pytest.mark.slow


def networks() -> tuple[ColorModel, nn.Module]:
    """A small generator and discriminator, both with BatchNorm; equal at every call."""
    torch.manual_seed(0)
    return build_model("encoder_decoder", widths=[8, 8], latent=8), PatchGAN(layers=2, width=8)


def batch(seed: int) -> Batch:
    """The input differs from the true lightness, as with augmentation."""
    random = torch.Generator().manual_seed(seed)
    return Batch(*(torch.rand(4, channels, 32, 32, generator=random) * 2 - 1 for channels in (1, 1, 2)))


def adam(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), 1e-3, betas=(0.5, 0.999))


def color_loss(**weights: float) -> ColorLoss:
    return ColorLoss(LossOptions.model_validate(weights))


def supervised(model: ColorModel, weights: dict[str, float] | None = None) -> SupervisedStep:
    return SupervisedStep(Outputs(model), color_loss(**(weights or {"l1": 1})), ScheduledOptimizer(adam(model)))


def adversarial(
    generator: ColorModel, discriminator: nn.Module, weight: float = 0.1, **options: Any
) -> AdversarialStep:
    """The norm in the options does not matter to the step: the discriminator is built already."""
    return AdversarialStep(
        Outputs(generator),
        discriminator,
        color_loss(l1=2),
        DiscriminatorOptions.model_validate({"norm": "none", **options}),
        weight,
        ScheduledOptimizer(adam(generator)),
        ScheduledOptimizer(adam(discriminator)),
    )


def assert_equal_state(one: nn.Module, other: nn.Module, tolerance: float = 0.0) -> None:
    states = one.state_dict(), other.state_dict()
    assert states[0].keys() == states[1].keys()
    for key in states[0]:
        torch.testing.assert_close(states[0][key], states[1][key], atol=tolerance, rtol=tolerance, msg=key)


def changed(network: nn.Module, before: nn.Module) -> list[str]:
    after = dict(network.named_parameters())
    return [key for key, value in before.named_parameters() if not torch.equal(value, after[key])]


class Ramp(ColorModel):
    """ab = weight * L: one parameter, whose first step can be told by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, L: torch.Tensor) -> torch.Tensor:
        return torch.cat((L, L), dim=1) * self.weight


# The supervised step


def test_the_first_step_of_adam_is_the_learning_rate() -> None:
    """Kingma and Ba 2015: whatever the size of the gradient, against its sign."""
    model = Ramp()
    L = torch.ones(1, 1, 2, 2)
    optimizer = ScheduledOptimizer(torch.optim.Adam(model.parameters(), 0.01))
    step = SupervisedStep(Outputs(model), color_loss(mse=1), optimizer)
    step(Batch(L, L, torch.ones(1, 2, 2, 2)))
    assert model.weight.item() == pytest.approx(0.01, rel=1e-5)


def test_a_step_of_gradient_descent_is_that_of_the_closed_form() -> None:
    """Loss (w - 3)^2 at w = 0: gradient -6, w = 0.6 at a rate of 0.1; the weight of the loss doubles it."""
    model = Ramp()
    optimizer = ScheduledOptimizer(torch.optim.SGD(model.parameters(), 0.1))
    step = SupervisedStep(Outputs(model), color_loss(mse=2), optimizer)
    L = torch.ones(1, 1, 2, 2)
    losses = step(Batch(L, L, torch.full((1, 2, 2, 2), 3.0)))
    assert model.weight.item() == pytest.approx(1.2)
    assert {name: value.item() for name, value in losses.items()} == {"loss": 18.0, "mse": 9.0}


class Hinted(ColorModel):
    """ab = weight * the colors of the hints, or 0 without hints."""

    takes_hints = True

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, L: torch.Tensor, hints: torch.Tensor | None = None) -> torch.Tensor:
        return self.weight * (torch.zeros_like(L).repeat(1, 2, 1, 1) if hints is None else hints[:, :2])

    def outputs(self, L: torch.Tensor, hints: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        return {"ab": self(L, hints)}


def test_a_model_gets_the_hints_of_a_batch() -> None:
    """Loss (2 w - 3)^2 at w = 0: gradient -12."""
    model = Hinted()
    step = SupervisedStep(
        Outputs(model), color_loss(mse=1), ScheduledOptimizer(torch.optim.SGD(model.parameters(), 0.1))
    )
    L, hints = torch.ones(1, 1, 2, 2), torch.full((1, 3, 2, 2), 2.0)
    step(Batch(L, L, torch.full((1, 2, 2, 2), 3.0), hints))
    assert model.weight.item() == pytest.approx(1.2)


def test_a_generator_gets_the_hints_of_a_batch() -> None:
    """Without them its colors, and the gradient of its weight, are 0."""
    model = Hinted()
    step = adversarial(model, PatchGAN(layers=1, width=4))
    L, hints = torch.ones(2, 1, 16, 16), torch.full((2, 3, 16, 16), 0.5)
    ab = torch.full((2, 2, 16, 16), 0.5)
    step(Batch(L, L, ab))
    assert model.weight.item() == 0
    step(Batch(L, L, ab, hints), Batch(L, L, ab, hints))
    assert model.weight.item() == pytest.approx(1e-3, rel=0.5)


def test_a_supervised_step_is_plain_autograd() -> None:
    model, _ = networks()
    reference = deepcopy(model)
    step, optimizer = supervised(model, {"l1": 2.0, "mse": 0.5}), adam(reference)
    for seed in range(3):
        seen, L, ab = batch(seed)[:3]
        losses = step(Batch(seen, L, ab))
        predicted = reference(seen)
        loss = 2 * (predicted - ab).abs().mean() + 0.5 * (predicted - ab).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert losses["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    # Adam divides by the gradient's size, which lifts rounding of tiny gradients; a step is 1e-3
    assert_equal_state(model, reference, tolerance=1e-5)


def test_losses_of_a_supervised_step_hold_no_graph() -> None:
    model, _ = networks()
    assert not any(value.requires_grad for value in supervised(model)(batch(0)).values())


# The adversarial step


def reference_step(
    generator: nn.Module,
    discriminator: nn.Module,
    generator_optimizer: torch.optim.Optimizer,
    discriminator_optimizer: torch.optim.Optimizer,
    seen: torch.Tensor,
    L: torch.Tensor,
    ab: torch.Tensor,
) -> dict[str, float]:
    """pix2pix by hand: the discriminator on real and detached fake (one batch, half weight), then the generator."""
    fake = generator(seen)
    n = len(L)
    judged = discriminator(torch.cat((L, L)), torch.cat((ab, fake.detach())))
    real_term = F.softplus(-judged[:n]).mean()  # -log sigmoid
    fake_term = F.softplus(judged[n:]).mean()  # -log (1 - sigmoid)
    discriminator_loss = 0.5 * (real_term + fake_term)
    gradients = torch.autograd.grad(discriminator_loss, list(discriminator.parameters()))
    for parameter, gradient in zip(discriminator.parameters(), gradients, strict=True):
        parameter.grad = gradient
    discriminator_optimizer.step()

    fooled = F.softplus(-discriminator(L, fake)).mean()
    l1 = (fake - ab).abs().mean()
    loss = 2 * l1 + 0.1 * fooled
    gradients = torch.autograd.grad(loss, list(generator.parameters()))
    for parameter, gradient in zip(generator.parameters(), gradients, strict=True):
        parameter.grad = gradient
    generator_optimizer.step()
    values = {"loss": loss, "l1": l1, "adversarial": fooled, "discriminator": discriminator_loss}
    return {name: value.item() for name, value in values.items()}


def test_an_adversarial_step_is_plain_autograd() -> None:
    generator, discriminator = networks()
    reference = deepcopy(generator), deepcopy(discriminator)
    optimizers = adam(reference[0]), adam(reference[1])
    step = adversarial(generator, discriminator)
    for seed in range(3):
        losses = step(batch(seed))
        expected = reference_step(*reference, *optimizers, *batch(seed)[:3])
        assert {name: value.item() for name, value in losses.items()} == pytest.approx(expected, rel=1e-4)
    assert_equal_state(generator, reference[0], tolerance=1e-5)  # as of the supervised step
    assert_equal_state(discriminator, reference[1], tolerance=1e-5)


def test_losses_of_an_adversarial_step_hold_no_graph() -> None:
    assert not any(value.requires_grad for value in adversarial(*networks())(batch(0)).values())


def test_both_networks_learn_from_one_adversarial_step() -> None:
    generator, discriminator = networks()
    before = networks()
    adversarial(generator, discriminator)(batch(0))
    assert changed(generator, before[0]) == [name for name, _ in generator.named_parameters()]
    assert changed(discriminator, before[1]) == [name for name, _ in discriminator.named_parameters()]


def gradients_when(optimizer: torch.optim.Optimizer, network: nn.Module, seen: list[list[torch.Tensor | None]]) -> None:
    """Record the gradients of a network at each step of an optimizer."""

    def record(*_arguments: object) -> None:
        seen.append([None if p.grad is None else p.grad.clone() for p in network.parameters()])

    optimizer.register_step_pre_hook(record)


def test_the_discriminator_gets_no_gradient_from_the_generators_update() -> None:
    generator, discriminator = networks()
    step = adversarial(generator, discriminator)
    own: list[list[torch.Tensor | None]] = []
    later: list[list[torch.Tensor | None]] = []
    gradients_when(step.discriminator_optimizer.optimizer, discriminator, own)
    gradients_when(step.generator_optimizer.optimizer, discriminator, later)
    step(batch(0))
    for before, after in zip(own[0], later[0], strict=True):
        assert before is not None
        assert after is None or torch.equal(before, after)


def test_the_generator_gets_no_gradient_from_the_discriminators_update() -> None:
    generator, discriminator = networks()
    step = adversarial(generator, discriminator)
    seen: list[list[torch.Tensor | None]] = []
    gradients_when(step.discriminator_optimizer.optimizer, generator, seen)
    step(batch(0))
    assert seen == [[None] * len(list(generator.parameters()))]


def test_without_an_adversarial_weight_the_generator_learns_as_supervised() -> None:
    generator, discriminator = networks()
    alone, _ = networks()
    adversarial(generator, discriminator, weight=0.0)(batch(0))
    supervised(alone, {"l1": 2.0})(batch(0))
    assert_equal_state(generator, alone, tolerance=1e-6)


def test_the_discriminator_can_learn_after_a_step() -> None:
    generator, discriminator = networks()
    adversarial(generator, discriminator)(batch(0))
    assert all(parameter.requires_grad for parameter in discriminator.parameters())


def test_one_step_is_one_forward_of_the_wrapped_networks() -> None:
    """Under DDP a second forward before the backward would overwrite the buffers of BatchNorm."""
    generator, discriminator = networks()

    class Wrapper(nn.Module):
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module, self.calls = module, 0

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return self.module(*inputs)

    wrapped = Wrapper(Outputs(generator)), Wrapper(discriminator)
    step = adversarial(generator, discriminator)
    step.generator, step.discriminator = wrapped
    step(batch(0))
    assert [wrapper.calls for wrapper in wrapped] == [1, 1]


def test_unwrap_gives_the_network_inside() -> None:
    network = nn.Conv2d(1, 1, 1)
    assert unwrap(nn.DataParallel(network)) is network


def test_unwrap_of_a_plain_network_is_itself() -> None:
    network = nn.Conv2d(1, 1, 1)
    assert unwrap(network) is network


# Several batches to a step


def apart() -> tuple[ColorModel, nn.Module]:
    """Networks that keep images apart, as BatchNorm does not; equal at every call."""
    torch.manual_seed(0)

    class Apart(ColorModel):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 3, padding=1))

        def forward(self, L: torch.Tensor) -> torch.Tensor:
            return self.net(L)

    return Apart(), PatchGAN(layers=2, width=8, norm="instance")


@pytest.mark.parametrize("kind", ["supervised", "adversarial"])
def test_a_batch_of_sixteen_is_two_of_eight(kind: str) -> None:
    whole, halves = apart(), apart()
    steps = make(kind, whole), make(kind, halves)
    for seed in range(5):
        random = torch.Generator().manual_seed(seed)
        large = Batch(*(torch.rand(16, channels, 32, 32, generator=random) * 2 - 1 for channels in (1, 1, 2)))
        small = [Batch(*part) for part in zip(*(each.chunk(2) for each in large[:3]), strict=True)]
        one, other = steps[0](large), steps[1](*small)
        assert {name: value.item() for name, value in other.items()} == pytest.approx(
            {name: value.item() for name, value in one.items()}, rel=1e-5
        )
    assert_equal_state(whole[0], halves[0], tolerance=1e-5)
    assert_equal_state(whole[1], halves[1], tolerance=1e-5)


@pytest.mark.parametrize("kind", ["supervised", "adversarial"])
def test_ranks_exchange_gradients_once_per_step(kind: str) -> None:
    """Backward passes inside no_sync are not counted."""

    class Wrapper(nn.Module):
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module, self.exchanges, self.alone = module, 0, False

        @contextmanager
        def no_sync(self) -> Iterator[None]:
            self.alone = True
            yield
            self.alone = False

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            self.exchanges += torch.is_grad_enabled() and not self.alone
            return self.module(*inputs)

    pair = apart()
    step = make(kind, pair)
    wrapped = [Wrapper(Outputs(pair[0])), Wrapper(pair[1])]
    if isinstance(step, AdversarialStep):
        step.generator, step.discriminator = wrapped
    else:
        assert isinstance(step, SupervisedStep)
        step.network = wrapped.pop(0)
        wrapped = [step.network]
    step(batch(0), batch(1), batch(2))
    assert [wrapper.exchanges for wrapper in wrapped] == [1] * len(wrapped)


# Kinds of adversary


@pytest.mark.parametrize("kind", get_args(GanLoss))
def test_both_networks_learn_from_every_kind(kind: str) -> None:
    generator, _ = networks()
    discriminator = PatchGAN(layers=2, width=8, norm="instance")
    before = deepcopy((generator, discriminator))
    losses = adversarial(generator, discriminator, loss=kind, r1=1.0)(batch(0))
    assert {"adversarial", "discriminator", "r1"} <= losses.keys()
    assert ("gradient_penalty" in losses) == (kind == "wgan_gp")
    assert changed(generator, before[0])
    assert changed(discriminator, before[1]) == [name for name, _ in discriminator.named_parameters()]


def test_penalties_are_those_of_the_discriminator_alone() -> None:
    """R1 by hand, image by image, through a discriminator that keeps images apart."""
    generator, _ = networks()
    discriminator = PatchGAN(layers=2, width=8, norm="none")
    one = batch(0)
    norms = []
    for L, ab in zip(one.L, one.ab, strict=True):
        real = ab[None].clone().requires_grad_()
        discriminator(L[None], real).mean().backward()
        assert real.grad is not None
        norms.append(real.grad.square().sum())
    discriminator.zero_grad()
    losses = adversarial(generator, discriminator, r1=3.0)(one)
    torch.testing.assert_close(losses["r1"], 3 * torch.stack(norms).mean() / 2)


def test_r1_restrains_the_discriminator() -> None:
    slopes = []
    for r1 in (0.0, 100.0):
        generator, _ = networks()
        torch.manual_seed(1)
        discriminator = PatchGAN(layers=2, width=8, norm="none")
        step = adversarial(generator, discriminator, r1=r1, weight=0.0)
        for seed in range(20):
            step(batch(seed))
        real = batch(50).ab.requires_grad_()
        (gradient,) = torch.autograd.grad(discriminator(batch(50).L, real).mean(), real)
        slopes.append(gradient.square().sum().item())
    assert slopes[1] < slopes[0] / 2


class Recorder(nn.Module):
    """A discriminator that keeps what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def forward(self, L: torch.Tensor, ab: torch.Tensor) -> torch.Tensor:
        self.seen.append((L.detach(), ab.detach()))
        return self.weight * ab.mean(dim=(1, 2, 3))


def test_the_discriminator_sees_enhanced_photographs_and_plain_predictions() -> None:
    generator, _ = networks()
    step, one = adversarial(generator, Recorder()), batch(0)
    step.color_enhance = 1.2
    fake = generator(one.seen).detach()
    step(one)
    assert isinstance(step.discriminator, Recorder)
    (L, ab), (L_of_generator, _) = step.discriminator.seen
    rgb = network_rgb(one.L, one.ab)
    torch.testing.assert_close(network_rgb(L[:4], ab[:4]), adjust_saturation(rgb, 1.2), atol=1e-3, rtol=0)
    assert torch.equal(L[4:], one.L)
    torch.testing.assert_close(ab[4:], fake)
    assert torch.equal(L_of_generator, one.L)


def test_a_step_works_with_the_discriminator_of_rgb() -> None:
    generator, _ = networks()
    torch.manual_seed(1)
    discriminator = RGBDiscriminator(layers=1, width=8)
    before = deepcopy((generator, discriminator))
    losses = adversarial(generator, discriminator)(batch(0))
    assert all(value.isfinite() for value in losses.values())
    assert changed(generator, before[0])
    attention = ("query", "key", "value")  # reached by no gradient while gamma is 0, at the start
    assert changed(discriminator, before[1]) == [
        name for name, _ in discriminator.named_parameters() if not any(f".{part}." in name for part in attention)
    ]


# The moving average


def test_the_average_follows_the_closed_form() -> None:
    """Weights 0, 1, 2, ...: the first is copied, then decay rises as (1 + n) / (10 + n) to its limit."""
    model = Ramp()
    average = running_average(model, 0.3)
    expected = 0.0
    for value in range(8):
        model.weight.data.fill_(float(value))
        average.update_parameters(model)
        decay = min(0.3, (1 + value) / (10 + value)) if value else 0.0
        expected = decay * expected + (1 - decay) * value
    assert average.module.weight.item() == pytest.approx(expected)


def test_statistics_of_norms_are_averaged_like_weights_and_counters_are_the_models() -> None:
    """Means 0, 1, 2: the first is copied, then decay is 2 / 11 and 3 / 12."""
    model = nn.BatchNorm1d(1)
    average = running_average(model, 0.9)
    for value in range(3):
        assert model.running_mean is not None
        assert model.num_batches_tracked is not None
        model.running_mean.fill_(float(value))
        model.num_batches_tracked.fill_(value)
        average.update_parameters(model)
    assert average.module.running_mean.item() == pytest.approx(3 / 12 * (9 / 11) + 9 / 12 * 2)
    assert average.module.num_batches_tracked.item() == 2


# Resuming


def make(kind: str, pair: tuple[ColorModel, nn.Module]) -> Step:
    return supervised(pair[0]) if kind == "supervised" else adversarial(*pair)


@pytest.mark.parametrize("kind", ["supervised", "adversarial"])
def test_a_resumed_run_continues_identically(kind: str, tmp_path: Path) -> None:
    whole = networks()
    step = make(kind, whole)
    for seed in range(2):
        step(batch(seed))
    (tmp_path / "state").write_bytes(pack_state({"model": whole[0].state_dict(), "step": step.state_dict()}))

    torch.manual_seed(99)  # other first weights: all must come from the file
    resumed = build_model("encoder_decoder", widths=[8, 8], latent=8), PatchGAN(layers=2, width=8)
    resumed_step = make(kind, resumed)
    state = unpack_state(tmp_path / "state")
    resumed[0].load_state_dict(state["model"])
    resumed_step.load_state_dict(state["step"])

    for seed in range(2, 5):
        assert resumed_step(batch(seed)) == step(batch(seed))
    assert_equal_state(resumed[0], whole[0])
    if kind == "adversarial":
        assert_equal_state(resumed[1], whole[1])


def test_a_resumed_run_continues_identically_with_fused_steps_of_channels_last(tmp_path: Path) -> None:
    """A fused optimizer takes moments that lie otherwise than the weights for those of other weights."""

    def fused(model: ColorModel) -> SupervisedStep:
        network = Outputs(model).to(memory_format=torch.channels_last)
        optimizer = ScheduledOptimizer(torch.optim.AdamW(network.parameters(), 1e-2, fused=True))
        return SupervisedStep(network, color_loss(l1=1), optimizer)

    whole, resumed = networks()[0], networks()[0]
    step, resumed_step = fused(whole), fused(resumed)
    for seed in range(3):
        step(batch(seed))
    (tmp_path / "state").write_bytes(pack_state({"model": whole.state_dict(), "step": step.state_dict()}))
    state = unpack_state(tmp_path / "state")
    resumed.load_state_dict(state["model"])
    resumed_step.load_state_dict(state["step"])
    for seed in range(3, 6):
        assert resumed_step(batch(seed)) == step(batch(seed))
    assert_equal_state(resumed, whole)


@pytest.mark.parametrize("kind", ["supervised", "adversarial"])
def test_resuming_without_the_state_is_not_the_same(kind: str) -> None:
    """The test above would pass as well if Adam's moments did not matter."""
    whole = networks()
    step = make(kind, whole)
    step(batch(0))
    bare = deepcopy(whole)
    bare_step = make(kind, bare)
    step(batch(1))
    bare_step(batch(1))
    assert changed(bare[0], whole[0])


# Under DistributedDataParallel

RANK = """
import json, sys, torch, torch.distributed as dist
from functools import partial
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from colorize_core.training.optimizer import ScheduledOptimizer
from colorize_core.training.color_loss import ColorLoss
from colorize_core.training.losses import LossOptions
from colorize_core.training.options import DiscriminatorOptions
from colorize_core.models import build_model
from colorize_core.models.base import ColorModel
from colorize_core.discriminators.patchgan import PatchGAN
from colorize_core.training.steps import AdversarialStep, Batch, Outputs, SupervisedStep

class Apart(ColorModel):  # keeps images apart, as BatchNorm does not
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 3, padding=1))
    def forward(self, L):
        return self.net(L)

def train(kind, model, steps, parts):
    torch.manual_seed(0 if model == "apart" else rank)  # DDP must make the weights equal, not the seed
    generator = Apart() if model == "apart" else build_model("encoder_decoder", widths=[8, 8], latent=8)
    norm = "instance" if kind == "wgan_gp" or model == "apart" else "batch"
    generator, discriminator = Outputs(generator), PatchGAN(layers=2, width=8, norm=norm)
    generator, discriminator = DistributedDataParallel(generator), DistributedDataParallel(discriminator)
    # Adam divides by the size of a gradient, and would lift the rounding of tiny ones
    torchs = partial(torch.optim.SGD, lr=0.05) if model == "apart" else partial(torch.optim.Adam, lr=1e-3)
    optimizer = lambda network: ScheduledOptimizer(torchs(network.parameters()))
    loss = ColorLoss(LossOptions(l1=1))
    if kind == "supervised":
        step = SupervisedStep(generator, loss, optimizer(generator))
    else:
        options = DiscriminatorOptions(loss=kind, norm="none", r1=float(kind == "wgan_gp"))
        optimizers = optimizer(generator), optimizer(discriminator)
        step = AdversarialStep(generator, discriminator, loss, options, 0.1, *optimizers)
    first = [p.detach().clone() for p in generator.parameters()]
    batches, totals = torch.Generator().manual_seed(5), []
    for _ in range(steps):
        whole = [torch.rand(4, channels, 32, 32, generator=batches) * 2 - 1 for channels in (1, 1, 2)]
        share = 4 // world
        mine = [part[rank * share : (rank + 1) * share].chunk(parts) for part in whole]
        losses = step(*(Batch(*each) for each in zip(*mine, strict=True)))
        total = torch.stack([losses[name] for name in sorted(losses)])
        dist.all_reduce(total)
        totals.append(total / world)
    assert torch.stack(totals).isfinite().all()
    assert not any(torch.equal(p, q) for p, q in zip(first, generator.parameters(), strict=True))
    return torch.stack(totals), [[p.detach() for p in n.module.parameters()] for n in (generator, discriminator)]

rank, world, folder, cases = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
torch.save([train(*case) for case in cases], f"{folder}/rank{rank}")
dist.destroy_process_group()
"""

Outcome = tuple[torch.Tensor, list[list[torch.Tensor]]]
"""Mean losses of each step, and both networks' parameters."""

Ranks = Callable[[str, str, int, int], list[Outcome]]

ON_TWO = [
    *((kind, "encoder_decoder", 3, 1) for kind in ("supervised", "bce", "wgan_gp")),
    *((kind, "apart", 20, parts) for kind in ("supervised", "bce") for parts in (1, 2)),
]
ON_ONE = [(kind, "apart", 20, 1) for kind in ("supervised", "bce")]


def outcomes(folder: Path, world: int, cases: list[tuple[str, str, int, int]]) -> Ranks:
    """Runs all cases in `world` processes; gives what came out of one of them, by rank."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(world), str(folder), json.dumps(cases)],
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        for rank in range(world)
    ]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * world, "\n".join(errors)
    by_rank = [torch.load(folder / f"rank{rank}", weights_only=True) for rank in range(world)]
    return lambda *case: [done[cases.index(case)] for done in by_rank]


@pytest.fixture(scope="module")
def on_one(tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    """Cases in one process."""
    return outcomes(tmp_path_factory.mktemp("one"), 1, ON_ONE)


@pytest.fixture(scope="module")
def on_two(tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    """Cases in two processes under DDP."""
    return outcomes(tmp_path_factory.mktemp("two"), 2, ON_TWO)


@pytest.mark.parametrize("kind", ["supervised", "bce", "wgan_gp"])
def test_steps_run_under_ddp_with_batchnorm_and_keep_the_ranks_equal(kind: str, on_two: Ranks) -> None:
    (_, one), (_, other) = on_two(kind, "encoder_decoder", 3, 1)
    for ours, theirs in zip(one, other, strict=True):
        assert all(torch.equal(p, q) for p, q in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("kind", ["supervised", "bce"])
def test_two_workers_learn_what_one_does_from_the_same_batches_whole_or_in_parts(
    kind: str, parts: int, on_one: Ranks, on_two: Ranks
) -> None:
    alone = on_one(kind, "apart", 20, 1)[0]
    both = on_two(kind, "apart", 20, parts)[0]
    torch.testing.assert_close(both[0], alone[0], atol=1e-5, rtol=1e-4)
    for ours, theirs in zip(both[1], alone[1], strict=True):
        for p, q in zip(ours, theirs, strict=True):
            torch.testing.assert_close(p, q, atol=1e-5, rtol=1e-4)
