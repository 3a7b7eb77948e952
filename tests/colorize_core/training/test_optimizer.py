"""Schedules, clipping, precision."""

import math
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import nn

from colorize_core.checkpoint.state import pack_state, unpack_state
from colorize_core.training.optimizer import ScheduledOptimizer, learning_rate_factor, learning_rate_scale
from colorize_core.training.options import Schedule


@pytest.mark.parametrize(("step", "factor"), [(0, 1), (50, 1), (75, 0.5), (99, 0.02), (100, 0), (150, 0)])
def test_linear_is_constant_for_half_and_then_a_straight_line(step: int, factor: float) -> None:
    assert learning_rate_factor("linear", step, 100) == pytest.approx(factor)


@pytest.mark.parametrize(("step", "factor"), [(0, 1), (25, (1 + math.sqrt(0.5)) / 2), (50, 0.5), (100, 0)])
def test_cosine_is_half_a_wave(step: int, factor: float) -> None:
    assert learning_rate_factor("cosine", step, 100) == pytest.approx(factor)


@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_warm_up_rises_in_equal_steps_and_then_the_schedule_begins(schedule: str) -> None:
    rise = [learning_rate_factor(schedule, step, 100, warmup=4) for step in range(5)]
    assert rise == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert learning_rate_factor(schedule, 52, 100, warmup=4) == learning_rate_factor(schedule, 48, 96)


def test_cosine_is_torchs() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1.0)
    torchs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
    for step in range(40):
        assert learning_rate_factor("cosine", step, 40) == pytest.approx(torchs.get_last_lr()[0])
        optimizer.step()
        torchs.step()


def test_multistep_is_torchs() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1.0)
    torchs = torch.optim.lr_scheduler.MultiStepLR(optimizer, [8, 12, 36], gamma=0.5)
    for step in range(40):
        factor = learning_rate_factor("multistep", step, 40, milestones=[0.2, 0.3, 0.9], gamma=0.5)
        assert factor == pytest.approx(torchs.get_last_lr()[0])
        optimizer.step()
        torchs.step()


def minimize(scheduled: ScheduledOptimizer, weight: nn.Parameter, steps: int) -> None:
    for _ in range(steps):
        scheduled.accumulate((weight - 3).square().sum())
        scheduled.step()


def make(**options: object) -> tuple[ScheduledOptimizer, nn.Parameter]:
    weight = nn.Parameter(torch.zeros(2))
    return ScheduledOptimizer(torch.optim.SGD([weight], 0.1), **options), weight  # type: ignore[arg-type]


def test_a_step_is_down_the_gradient() -> None:
    scheduled, weight = make()
    minimize(scheduled, weight, 1)
    torch.testing.assert_close(weight.data, torch.full((2,), 0.6))


def test_long_gradients_are_shortened() -> None:
    """The gradient is (-6, -6), of norm 8.49: clipped to 1 its parts are 0.707."""
    scheduled, weight = make(clip_norm=1.0)
    minimize(scheduled, weight, 1)
    torch.testing.assert_close(weight.data, torch.full((2,), 0.1 / math.sqrt(2)), atol=1e-6, rtol=0)


def test_the_schedule_moves_with_the_steps() -> None:
    scheduled, weight = make(factor=lambda step: 1.0 if step == 0 else 0.0)
    minimize(scheduled, weight, 5)
    torch.testing.assert_close(weight.data, torch.full((2,), 0.6))


def test_gathered_gradients_are_one_step_of_weights_and_schedule() -> None:
    """Halves of the gradient of (w - 3)^2 at 0, then a factor of 0: it counts moves."""
    scheduled, weight = make(factor=lambda step: 1.0 if step == 0 else 0.0)
    for _ in range(2):
        scheduled.accumulate((weight - 3).square().sum() / 2)
    assert torch.equal(weight.data, torch.zeros(2))
    scheduled.step()
    torch.testing.assert_close(weight.data, torch.full((2,), 0.6))
    assert scheduled.state_dict()["steps"] == 1
    minimize(scheduled, weight, 1)
    torch.testing.assert_close(weight.data, torch.full((2,), 0.6))


def test_the_rate_for_several_workers() -> None:
    assert [learning_rate_scale("none", workers) for workers in (1, 4)] == [1, 1]
    assert [learning_rate_scale("linear", workers) for workers in (1, 4)] == [1, 4]
    assert [learning_rate_scale("sqrt", workers) for workers in (1, 4)] == [1, 2]


def test_a_resumed_descent_is_where_it_was(tmp_path: Path) -> None:
    def factor(step: int) -> float:
        return learning_rate_factor("cosine", step, 20, warmup=3)

    whole, expected = make(factor=factor)
    minimize(whole, expected, 8)
    (tmp_path / "state").write_bytes(pack_state(whole.state_dict()))
    resumed, weight = make(factor=factor)
    weight.data.copy_(expected.data)
    resumed.load_state_dict(unpack_state(tmp_path / "state"))
    minimize(whole, expected, 5)
    minimize(resumed, weight, 5)
    assert torch.equal(weight, expected)


def test_a_longer_run_follows_its_own_schedule() -> None:
    """More epochs: the rate is that of the longer schedule at once."""
    short, weight = make(factor=lambda step: learning_rate_factor("linear", step, 10))
    minimize(short, weight, 10)
    longer, _ = make(factor=lambda step: learning_rate_factor("linear", step, 40))
    longer.load_state_dict(short.state_dict())
    assert longer.optimizer.param_groups[0]["lr"] == pytest.approx(0.1)
