"""One optimization step, supervised or adversarial; knows nothing of Ray, processes or files.

A step moves the weights once, from one batch or from several that together are too large for memory. The networks may
be wrapped in DistributedDataParallel: of each batch, one forward pass with gradients goes through each wrapped network,
so that plain BatchNorm works under DDP (see `AdversarialStep`), and gradients are exchanged once per step.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from colorize_core.models.base import ColorModel
from colorize_core.runtime.precision import Autocast
from colorize_core.training import gan_losses as adversarial
from colorize_core.training.losses import ColorLoss
from colorize_core.training.optimizer import ScheduledOptimizer


class Batch(NamedTuple):
    """Photographs on the network's scale, float32."""

    seen: Tensor
    """(B, 1, H, W) lightness as the model sees it: perhaps that of an old print."""
    L: Tensor
    """(B, 1, H, W) lightness of the true photograph."""
    ab: Tensor
    """(B, 2, H, W) its colors."""


Network = Callable[[Tensor], dict[str, Tensor]]
"""An `Outputs`, perhaps wrapped or compiled."""


class Step(Protocol):
    """An optimization step with the state that resuming needs."""

    @property
    def optimizers(self) -> Sequence[ScheduledOptimizer]:
        """Of the networks, the generator's first."""

    def __call__(self, *batches: Batch) -> dict[str, Tensor]:
        """Update the weights once, down the gradient of the mean loss of batches; returns it by name, detached."""

    def state_dict(self) -> dict[str, Any]:
        """Everything but the generator's weights."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`."""


class Outputs(nn.Module):
    """A model whose forward pass gives all its outputs (`ColorModel.outputs`): the form that DDP wraps."""

    def __init__(self, model: ColorModel) -> None:
        """Hold the model; its parameters stay its own."""
        super().__init__()
        self.model = model

    def forward(self, L: Tensor) -> dict[str, Tensor]:
        """L (B, 1, H, W) to outputs by name."""
        return self.model.outputs(L)


def unwrap(network: nn.Module) -> nn.Module:
    """The network inside DistributedDataParallel, or the network itself."""
    inner = getattr(network, "module", network)
    assert isinstance(inner, nn.Module)
    return inner


def running_average(model: ColorModel, decay: float) -> AveragedModel:
    """Exponential moving average of a model's parameters and of the statistics of its norms; counters are the model's.

    The decay rises from 0.1 to `decay` as (1 + n) / (10 + n) after n steps, so that short runs average too. Statistics
    of the last few batches would not fit averaged weights: at high learning rates validation then swings by 10 %.
    """

    @torch.no_grad()
    def average(averaged: Sequence[Tensor], current: Sequence[Tensor], steps: Tensor | int) -> None:
        share = 1 - min(decay, float((1 + steps) / (10 + steps)))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, share)
            else:
                mean.copy_(value)

    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)


class SupervisedStep:
    """Regression of ab, or classification of colors, on L."""

    def __init__(
        self, network: Network, loss: ColorLoss, optimizer: ScheduledOptimizer, autocast: Autocast = nullcontext
    ) -> None:
        """Keep the network (an `Outputs`, perhaps wrapped), its loss and optimizer, and the context it runs in."""
        self.network, self.loss, self.optimizer, self.autocast = network, loss, optimizer, autocast

    @property
    def optimizers(self) -> Sequence[ScheduledOptimizer]:
        """See `Step`."""
        return (self.optimizer,)

    def __call__(self, *batches: Batch) -> dict[str, Tensor]:
        """See `Step`."""
        means = _Means(len(batches))
        for batch, exchange in _last_exchanges(batches, self.network):
            with exchange:
                with self.autocast():
                    outputs = self.network(batch.seen)
                loss, parts = self.loss(outputs, batch.L, batch.ab)
                self.optimizer.accumulate(loss / len(batches))
            means.add({"loss": loss.detach(), **parts})
        self.optimizer.step()
        return means.by_name()

    def state_dict(self) -> dict[str, Any]:
        """See `Step`."""
        return {"optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Step`."""
        self.optimizer.load_state_dict(state["optimizer"])


def _last_exchanges(
    batches: Sequence[Batch], network: Network
) -> Iterator[tuple[Batch, AbstractContextManager[object]]]:
    """Each batch with the context of its passes: under DDP, ranks exchange gradients in those of the last one."""
    alone = getattr(network, "no_sync", nullcontext)
    for number, batch in enumerate(batches, start=1):
        yield batch, nullcontext() if number == len(batches) else alone()


class _Means:
    """Losses by name, averaged over the batches of a step."""

    def __init__(self, batches: int) -> None:
        self._batches, self._sums = batches, dict[str, Tensor]()

    def add(self, losses: Mapping[str, Tensor]) -> None:
        for name, value in losses.items():
            share = value / self._batches
            self._sums[name] = self._sums[name] + share if name in self._sums else share

    def by_name(self) -> dict[str, Tensor]:
        return self._sums


@dataclass(frozen=True)
class AdversarialOptions:
    """The adversarial part of an objective."""

    kind: str = "bce"
    """One of `adversarial.KINDS`."""
    weight: float = 1.0
    """Of the generator's adversarial loss beside its other losses."""
    label_smoothing: float = 0.0
    """See `adversarial.discriminator_loss`."""
    gradient_penalty: float = 10.0
    """Weight of `adversarial.gradient_penalty`, with wgan_gp."""
    r1: float = 0.0
    """Weight of `adversarial.r1_penalty`."""


class AdversarialStep:
    """pix2pix (Isola et al. 2017): the discriminator's update, then the generator's, from the same batches.

    The discriminator sees real, fake and, for WGAN-GP, mixed colors in one forward pass: more passes would have DDP
    overwrite BatchNorm's buffers between them, and the backward pass then fails on the changed version. The
    generator's update goes through the unwrapped, frozen discriminator, which needs no gradient exchange of its own.

    Of one batch, one forward pass of the generator serves both updates. Of several, the discriminator's update needs
    all fakes before the generator's begins; these passes are then run twice, first without gradients, since keeping
    them all would take the memory that dividing the batch was to save.
    """

    def __init__(
        self,
        generator: Network,
        discriminator: nn.Module,
        loss: ColorLoss,
        rule: AdversarialOptions,
        generator_optimizer: ScheduledOptimizer,
        discriminator_optimizer: ScheduledOptimizer,
        autocast: Autocast = nullcontext,
    ) -> None:
        """Keep both networks (the generator as an `Outputs`), the losses, both optimizers and the autocast context."""
        self.generator, self.discriminator = generator, discriminator
        self.loss, self.rule, self.autocast = loss, rule, autocast
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer

    @property
    def optimizers(self) -> Sequence[ScheduledOptimizer]:
        """See `Step`."""
        return self.generator_optimizer, self.discriminator_optimizer

    def __call__(self, *batches: Batch) -> dict[str, Tensor]:
        """See `Step`; names are loss, each loss of the generator, adversarial, discriminator and each penalty."""
        means = _Means(len(batches))
        kept = self._generate(batches[0]) if len(batches) == 1 else None
        for batch, exchange in _last_exchanges(batches, self.discriminator):
            with exchange:
                fake = (kept or self._generate_without_gradient(batch))["ab"].detach().float()
                discriminator_loss, penalties = self._discriminate(batch.L, batch.ab, fake)
                self.discriminator_optimizer.accumulate((discriminator_loss + sum(penalties.values())) / len(batches))
            means.add({"discriminator": discriminator_loss.detach()})
            means.add({name: value.detach() for name, value in penalties.items()})
        self.discriminator_optimizer.step()

        discriminator = unwrap(self.discriminator).requires_grad_(False)
        for batch, exchange in _last_exchanges(batches, self.generator):
            with exchange:
                outputs = kept or self._generate(batch)
                with self.autocast():
                    logits = discriminator(batch.L, outputs["ab"].float())
                fooled = adversarial.generator_loss(self.rule.kind, logits.float())
                loss, parts = self.loss(outputs, batch.L, batch.ab)
                loss = loss + self.rule.weight * fooled
                self.generator_optimizer.accumulate(loss / len(batches))
            means.add({"loss": loss.detach(), **parts, "adversarial": fooled.detach()})
        self.generator_optimizer.step()
        discriminator.requires_grad_(True)
        return means.by_name()

    def _generate(self, batch: Batch) -> dict[str, Tensor]:
        with self.autocast():
            return self.generator(batch.seen)

    @torch.no_grad()
    def _generate_without_gradient(self, batch: Batch) -> dict[str, Tensor]:
        return self._generate(batch)

    def _discriminate(self, L: Tensor, real: Tensor, fake: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The discriminator's loss and its weighted penalties by name."""
        rule = self.rule
        colors = [real.detach().requires_grad_(rule.r1 > 0), fake]
        if rule.kind == "wgan_gp":
            colors.append(adversarial.mix(real, fake))
        with self.autocast():
            judged = self.discriminator(L.repeat(len(colors), 1, 1, 1), torch.cat(colors))
        logits = judged.float().chunk(len(colors))
        penalties = {}
        if rule.kind == "wgan_gp":
            penalties["gradient_penalty"] = rule.gradient_penalty * adversarial.gradient_penalty(logits[2], colors[2])
        if rule.r1:
            penalties["r1"] = rule.r1 * adversarial.r1_penalty(logits[0], colors[0])
        return adversarial.discriminator_loss(rule.kind, logits[0], logits[1], rule.label_smoothing), penalties

    def state_dict(self) -> dict[str, Any]:
        """See `Step`."""
        return {
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "discriminator": unwrap(self.discriminator).state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `Step`."""
        self.generator_optimizer.load_state_dict(state["generator_optimizer"])
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
        unwrap(self.discriminator).load_state_dict(state["discriminator"])
