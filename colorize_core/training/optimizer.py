"""Optimizer with learning rate schedule and gradient clipping."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from colorize_core.training.options import Scaling, Schedule


def learning_rate_factor(
    schedule: Schedule, step: int, steps: int, warmup: int = 0, milestones: Sequence[float] = (), gamma: float = 1.0
) -> float:
    """Return the factor on the learning rate at a step of a run.

    Args:
        schedule: constant; linear (pix2pix: constant for the first half, then linear decay to 0); cosine (Loshchilov
            and Hutter 2017, without restarts: decay to 0); multistep.
        step: number of the step, from 0.
        steps: number of steps in the whole run.
        warmup: number of steps of linear increase at the beginning.
        milestones: shares of the run after each of which multistep multiplies the factor by `gamma`.
        gamma: see `milestones`.
    """
    rise = min(1.0, (step + 1) / (warmup + 1))
    share = min(max(step - warmup, 0) / max(steps - warmup, 1), 1.0)
    match schedule:
        case "constant":
            return rise
        case "linear":
            return rise * min(1.0, 2 * (1 - share))
        case "cosine":
            return rise * (1 + math.cos(math.pi * share)) / 2
        case "multistep":
            return rise * gamma ** sum(step >= round(milestone * steps) for milestone in milestones)


def learning_rate_scale(scaling: Scaling, workers: int) -> float:
    """Return the factor on the learning rate for the larger total batch of several workers.

    Args:
        scaling: none; linear (Goyal et al. 2017, usual for SGD); sqrt (Krizhevsky 2014, usual for Adam).
        workers: number of workers, each with a batch of its own.
    """
    match scaling:
        case "none":
            return 1.0
        case "linear":
            return float(workers)
        case "sqrt":
            return math.sqrt(workers)


class ScheduledOptimizer:
    """Optimizer with learning rate schedule and gradient clipping."""

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        clip_norm: float | None = None,
        factor: Callable[[int], float] | None = None,
    ) -> None:
        """Wrap an optimizer.

        Args:
            optimizer: optimizer of the network's parameters.
            clip_norm: maximum norm of the gradient; larger gradients are scaled down to it.
            factor: factor on the learning rate as a function of the optimizer step.
        """
        self.optimizer, self._clip_norm = optimizer, clip_norm
        self._schedule = LambdaLR(optimizer, factor) if factor else None
        self.lr = float(optimizer.param_groups[0]["lr"])
        """Learning rate of the last step."""

    def accumulate(self, loss: Tensor) -> None:
        """Add the gradient of a scalar loss to the gradients that the next `step` applies."""
        loss.backward()

    def step(self) -> None:
        """Apply the accumulated gradients, clipped, and reset them."""
        if self._clip_norm:
            parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self._clip_norm)
        self.lr = float(self.optimizer.param_groups[0]["lr"])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self._schedule:
            self._schedule.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state that resuming needs."""
        steps = self._schedule.last_epoch if self._schedule else 0
        return {"optimizer": self.optimizer.state_dict(), "steps": steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`, on the schedule of this run."""
        rates = [group["initial_lr"] for group in self.optimizer.param_groups] if self._schedule else []
        self.optimizer.load_state_dict(state["optimizer"])
        for parameter, values in self.optimizer.state.items():
            for name, value in values.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    # Fused optimizers need moments in the memory format of the weights (channels_last).
                    values[name] = torch.empty_like(parameter).copy_(value)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=False):
            group["initial_lr"] = rate
        self.set_step(state["steps"])

    def set_step(self, steps: int) -> None:
        """Set the schedule to the given step."""
        if self._schedule:
            self._schedule.last_epoch = steps
            for group, factor in zip(self.optimizer.param_groups, self._schedule.lr_lambdas, strict=True):
                group["lr"] = group["initial_lr"] * factor(steps)
