import os
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from colorize_core.checkpoint import pack_state, unpack_state
from colorize_core.models import build_model
from colorize_core.models.patchgan import PatchGAN
from colorize_core.training import AdversarialStep, Step, SupervisedStep, prepare_batch, unwrap


def networks() -> tuple[nn.Module, nn.Module]:
    """A small generator and discriminator, both with BatchNorm; equal at every call."""
    torch.manual_seed(0)
    return build_model("encoder_decoder", widths=[8, 8], latent=8), PatchGAN(layers=2, width=8)


def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.rand(4, 1, 32, 32, generator=generator) * 2 - 1,
        torch.rand(4, 2, 32, 32, generator=generator) * 2 - 1,
    )


def adam(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), 1e-3, betas=(0.5, 0.999))


def supervised(model: nn.Module, weights: dict[str, float] | None = None) -> SupervisedStep:
    return SupervisedStep(model, weights or {"l1": 1.0}, adam(model))


def adversarial(generator: nn.Module, discriminator: nn.Module, weight: float = 0.1) -> AdversarialStep:
    return AdversarialStep(generator, discriminator, {"l1": 2.0}, weight, adam(generator), adam(discriminator))


def assert_equal_state(one: nn.Module, other: nn.Module, tolerance: float = 0.0) -> None:
    states = one.state_dict(), other.state_dict()
    assert states[0].keys() == states[1].keys()
    for key in states[0]:
        torch.testing.assert_close(states[0][key], states[1][key], atol=tolerance, rtol=tolerance, msg=key)


def changed(network: nn.Module, before: nn.Module) -> list[str]:
    after = dict(network.named_parameters())
    return [key for key, value in before.named_parameters() if not torch.equal(value, after[key])]


class Ramp(nn.Module):
    """ab = weight * L: one parameter, whose first step can be told by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, L: torch.Tensor) -> torch.Tensor:
        return torch.cat((L, L), dim=1) * self.weight


# Batches


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    L = torch.randint(0, 256, (64, 1, 4, 6), dtype=torch.uint8, generator=generator)
    return L, torch.cat((L, 255 - L), dim=1)


def test_a_batch_is_on_the_networks_scale() -> None:
    L, ab = prepare_batch(*rows(), "cpu")
    torch.testing.assert_close(L, rows()[0] / 255 * 2 - 1)
    torch.testing.assert_close(ab, (rows()[1].float() - 128) / 110)


def test_without_a_generator_nothing_is_mirrored() -> None:
    for one, other in zip(prepare_batch(*rows(), "cpu"), prepare_batch(*rows(), "cpu", None), strict=True):
        assert torch.equal(one, other)


def test_mirroring_turns_lightness_and_chroma_together() -> None:
    """The chroma of `rows` is a function of the lightness of the same pixel, and must stay one."""
    L, ab = prepare_batch(*rows(), "cpu", torch.Generator().manual_seed(1))
    stored = (L + 1) * 127.5
    torch.testing.assert_close(ab[:, :1] * 110 + 128, stored, atol=1e-3, rtol=0)  # float32 there and back
    torch.testing.assert_close(ab[:, 1:] * 110 + 128, 255 - stored, atol=1e-3, rtol=0)


def test_every_photograph_is_itself_or_its_mirror_image() -> None:
    plain, _ = prepare_batch(*rows(), "cpu")
    mirrored, _ = prepare_batch(*rows(), "cpu", torch.Generator().manual_seed(1))
    kept = (mirrored == plain).flatten(1).all(dim=1)
    turned = (mirrored == plain.flip(-1)).flatten(1).all(dim=1)
    assert (kept ^ turned).all()
    assert 16 < kept.sum() < 48  # of 64 fair draws; outside once in 20000 seeds


def test_the_generator_decides_what_is_mirrored() -> None:
    draws = [prepare_batch(*rows(), "cpu", torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_mirroring_goes_on_drawing() -> None:
    generator = torch.Generator().manual_seed(1)
    first, second = (prepare_batch(*rows(), "cpu", generator)[0] for _ in range(2))
    assert not torch.equal(first, second)


# The supervised step


def test_the_first_step_of_adam_is_the_learning_rate() -> None:
    """Kingma and Ba 2015: whatever the size of the gradient, against its sign."""
    model = Ramp()
    L = torch.ones(1, 1, 2, 2)
    SupervisedStep(model, {"mse": 1.0}, torch.optim.Adam(model.parameters(), 0.01))(L, torch.ones(1, 2, 2, 2))
    assert model.weight.item() == pytest.approx(0.01, rel=1e-5)


def test_a_step_of_gradient_descent_is_that_of_the_closed_form() -> None:
    """Loss (w - 3)^2 at w = 0: gradient -6, w = 0.6 at a rate of 0.1; the weight of the loss doubles it."""
    model = Ramp()
    step = SupervisedStep(model, {"mse": 2.0}, torch.optim.SGD(model.parameters(), 0.1))
    losses = step(torch.ones(1, 1, 2, 2), torch.full((1, 2, 2, 2), 3.0))
    assert model.weight.item() == pytest.approx(1.2)
    assert {name: value.item() for name, value in losses.items()} == {"loss": 18.0, "mse": 9.0}


def test_a_supervised_step_is_plain_autograd() -> None:
    model, _ = networks()
    reference = deepcopy(model)
    step, optimizer = supervised(model, {"l1": 2.0, "mse": 0.5}), adam(reference)
    for seed in range(3):
        L, ab = batch(seed)
        losses = step(L, ab)
        predicted = reference(L)
        loss = 2 * (predicted - ab).abs().mean() + 0.5 * (predicted - ab).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert losses["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    # Adam divides by the gradient's size, which lifts rounding of tiny gradients; a step is 1e-3
    assert_equal_state(model, reference, tolerance=1e-5)


def test_losses_of_a_supervised_step_hold_no_graph() -> None:
    model, _ = networks()
    assert not any(value.requires_grad for value in supervised(model)(*batch(0)).values())


# The adversarial step


def reference_step(
    generator: nn.Module,
    discriminator: nn.Module,
    generator_optimizer: torch.optim.Optimizer,
    discriminator_optimizer: torch.optim.Optimizer,
    L: torch.Tensor,
    ab: torch.Tensor,
) -> dict[str, float]:
    """pix2pix by hand: the discriminator on real and detached fake (one batch, half weight), then the generator."""
    fake = generator(L)
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
        losses = step(*batch(seed))
        expected = reference_step(*reference, *optimizers, *batch(seed))
        assert {name: value.item() for name, value in losses.items()} == pytest.approx(expected, rel=1e-4)
    assert_equal_state(generator, reference[0], tolerance=1e-5)  # as of the supervised step
    assert_equal_state(discriminator, reference[1], tolerance=1e-5)


def test_losses_of_an_adversarial_step_hold_no_graph() -> None:
    assert not any(value.requires_grad for value in adversarial(*networks())(*batch(0)).values())


def test_both_networks_learn_from_one_adversarial_step() -> None:
    generator, discriminator = networks()
    before = networks()
    adversarial(generator, discriminator)(*batch(0))
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
    gradients_when(step.discriminator_optimizer, discriminator, own)
    gradients_when(step.generator_optimizer, discriminator, later)
    step(*batch(0))
    for before, after in zip(own[0], later[0], strict=True):
        assert before is not None
        assert after is None or torch.equal(before, after)


def test_the_generator_gets_no_gradient_from_the_discriminators_update() -> None:
    generator, discriminator = networks()
    step = adversarial(generator, discriminator)
    seen: list[list[torch.Tensor | None]] = []
    gradients_when(step.discriminator_optimizer, generator, seen)
    step(*batch(0))
    assert seen == [[None] * len(list(generator.parameters()))]


def test_without_an_adversarial_weight_the_generator_learns_as_supervised() -> None:
    generator, discriminator = networks()
    alone, _ = networks()
    adversarial(generator, discriminator, weight=0.0)(*batch(0))
    supervised(alone, {"l1": 2.0})(*batch(0))
    assert_equal_state(generator, alone, tolerance=1e-6)


def test_the_discriminator_can_learn_after_a_step() -> None:
    generator, discriminator = networks()
    adversarial(generator, discriminator)(*batch(0))
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

    wrapped = Wrapper(generator), Wrapper(discriminator)
    adversarial(*wrapped)(*batch(0))
    assert [wrapper.calls for wrapper in wrapped] == [1, 1]


def test_unwrap_gives_the_network_inside() -> None:
    network = nn.Conv2d(1, 1, 1)
    assert unwrap(nn.DataParallel(network)) is network


def test_unwrap_of_a_plain_network_is_itself() -> None:
    network = nn.Conv2d(1, 1, 1)
    assert unwrap(network) is network


# Resuming


def make(kind: str, pair: tuple[nn.Module, nn.Module]) -> Step:
    return supervised(pair[0]) if kind == "supervised" else adversarial(*pair)


@pytest.mark.parametrize("kind", ["supervised", "adversarial"])
def test_a_resumed_run_continues_identically(kind: str, tmp_path: Path) -> None:
    whole = networks()
    step = make(kind, whole)
    for seed in range(2):
        step(*batch(seed))
    (tmp_path / "state").write_bytes(pack_state({"model": whole[0].state_dict(), "step": step.state_dict()}))

    torch.manual_seed(99)  # other first weights: all must come from the file
    resumed = build_model("encoder_decoder", widths=[8, 8], latent=8), PatchGAN(layers=2, width=8)
    resumed_step = make(kind, resumed)
    state = unpack_state(tmp_path / "state")
    resumed[0].load_state_dict(state["model"])
    resumed_step.load_state_dict(state["step"])

    for seed in range(2, 5):
        assert resumed_step(*batch(seed)) == step(*batch(seed))
    assert_equal_state(resumed[0], whole[0])
    if kind == "adversarial":
        assert_equal_state(resumed[1], whole[1])


@pytest.mark.parametrize("kind", ["supervised", "adversarial"])
def test_resuming_without_the_state_is_not_the_same(kind: str) -> None:
    """What the test above would miss if Adam's moments did not matter."""
    whole = networks()
    step = make(kind, whole)
    step(*batch(0))
    bare = deepcopy(whole)
    bare_step = make(kind, bare)
    step(*batch(1))
    bare_step(*batch(1))
    assert changed(bare[0], whole[0])


# Under DistributedDataParallel

DDP = """
import sys, torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from colorize_core.models import build_model
from colorize_core.models.patchgan import PatchGAN
from colorize_core.training import AdversarialStep, SupervisedStep

kind, rank, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
torch.manual_seed(rank)  # DDP must make the weights equal, not the seed
generator = DistributedDataParallel(build_model("encoder_decoder", widths=[8, 8], latent=8))
discriminator = DistributedDataParallel(PatchGAN(layers=2, width=8))
adam = lambda network: torch.optim.Adam(network.parameters(), 1e-3)
if kind == "supervised":
    step = SupervisedStep(generator, {"l1": 1.0}, adam(generator))
else:
    step = AdversarialStep(generator, discriminator, {"l1": 1.0}, 0.1, adam(generator), adam(discriminator))
first = [p.detach().clone() for p in generator.parameters()]
torch.manual_seed(100 + rank)
for _ in range(3):
    losses = step(torch.rand(2, 1, 32, 32) * 2 - 1, torch.rand(2, 2, 32, 32) * 2 - 1)
assert all(value.isfinite() for value in losses.values())
assert not any(torch.equal(p, q) for p, q in zip(first, generator.parameters(), strict=True))
torch.save([list(n.module.parameters()) for n in (generator, discriminator)], f"{folder}/rank{rank}")
dist.destroy_process_group()
"""


@pytest.fixture
def run_two_ranks(tmp_path: Path) -> Callable[[str], list[list[list[torch.Tensor]]]]:
    """Runs three steps in two processes and gives the parameters of both networks, by rank."""

    def run(kind: str) -> list[list[list[torch.Tensor]]]:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", DDP, kind, str(rank), str(tmp_path)],
                stderr=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parents[2],
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            for rank in range(2)
        ]
        errors = [process.communicate(timeout=120)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
        return [torch.load(tmp_path / f"rank{rank}", weights_only=False) for rank in range(2)]

    return run


@pytest.mark.parametrize("kind", ["supervised", "adversarial"])
def test_steps_run_under_ddp_with_batchnorm_and_keep_the_ranks_equal(
    kind: str, run_two_ranks: Callable[[str], list[list[list[torch.Tensor]]]]
) -> None:
    one, other = run_two_ranks(kind)
    for ours, theirs in zip(one, other, strict=True):
        assert all(torch.equal(p, q) for p, q in zip(ours, theirs, strict=True))
