"""Optimization steps, supervised and adversarial, independent of Ray, processes and files.

A step updates the weights once, from one batch, or from several batches that together do not fit into memory (gradient
accumulation). The networks may be wrapped in DistributedDataParallel: each batch takes one forward pass with gradients
through each wrapped network, so that plain BatchNorm works under DDP (see `AdversarialStep`), and gradients are
exchanged once per step.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from colorize_core.models.base import ColorModel
from colorize_core.runtime.precision import Autocast
from colorize_core.training import gan_losses
from colorize_core.training.color_loss import ColorLoss
from colorize_core.training.enhancement import enhance_truth
from colorize_core.training.optimizer import ScheduledOptimizer
from colorize_core.training.options import DiscriminatorOptions


class Batch(NamedTuple):
    """Training photographs on the network's scale, float32."""

    seen: Tensor
    """(B, 1, H, W) input of the model: the lightness, degraded if augmentation says so."""
    L: Tensor
    """(B, 1, H, W) lightness of the true photograph."""
    ab: Tensor
    """(B, 2, H, W) target colors."""
    hints: Tensor | None = None
    """(B, 3, H, W) hints for a model that takes them (`ColorModel.takes_hints`)."""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Arguments of the model: the lightness, and the hints if there are any."""
        return (self.seen,) if self.hints is None else (self.seen, self.hints)


Network = Callable[..., dict[str, Tensor]]
"""An `Outputs` module, possibly wrapped in DDP or compiled."""


class Step(Protocol):
    """Optimization step with the state that resuming needs."""

    @property
    def optimizers(self) -> Sequence[ScheduledOptimizer]:
        """Optimizers of the networks, the generator's first."""

    def __call__(self, *batches: Batch) -> dict[str, Tensor]:
        """Update the weights once by the mean loss of the batches; returns the losses by name, detached."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything except the generator's weights."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`."""


class Outputs(nn.Module):
    """Model whose forward pass returns all its outputs (`ColorModel.outputs`), the form that DDP wraps."""

    def __init__(self, model: ColorModel) -> None:
        """Refer to the model; parameters are shared."""
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Map L (B, 1, H, W), and hints (B, 3, H, W) if the model takes them, to outputs by name."""
        return self.model.outputs(*inputs)


def unwrap(network: nn.Module) -> nn.Module:
    """Return the network inside DistributedDataParallel, or the network itself."""
    inner = getattr(network, "module", network)
    assert isinstance(inner, nn.Module)
    return inner


def running_average(model: ColorModel, decay: float) -> AveragedModel:
    """Return an exponential moving average (EMA) of a model's parameters and running statistics; counters are copied.

    After n steps the decay is min(`decay`, (1 + n) / (10 + n)), so that the average is also useful in short runs.
    Running statistics are averaged too, because those of the last few batches do not fit averaged weights: at high
    learning rates validation scores then vary by 10 %.
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
    """Step of a model alone: regression of ab, or classification of colors."""

    def __init__(
        self, network: Network, loss: ColorLoss, optimizer: ScheduledOptimizer, autocast: Autocast = nullcontext
    ) -> None:
        """Take the network (an `Outputs`, possibly wrapped), its loss and optimizer, and the autocast context."""
        self.network, self.loss, self.optimizer, self.autocast = network, loss, optimizer, autocast

    @property
    def optimizers(self) -> Sequence[ScheduledOptimizer]:
        """See `Step`."""
        return (self.optimizer,)

    def __call__(self, *batches: Batch) -> dict[str, Tensor]:
        """See `Step`."""
        means = _Means(len(batches))
        for batch, context in _sync_last(batches, self.network):
            with context:
                with self.autocast():
                    outputs = self.network(*batch.inputs)
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


def _sync_last(batches: Sequence[Batch], network: Network) -> Iterator[tuple[Batch, AbstractContextManager[object]]]:
    """Yield each batch with its context: under DDP, ranks exchange gradients with the last batch only."""
    no_sync = getattr(network, "no_sync", nullcontext)
    for number, batch in enumerate(batches, start=1):
        yield batch, nullcontext() if number == len(batches) else no_sync()


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


class AdversarialStep:
    """Step of pix2pix (Isola et al. 2017): updates the discriminator, then the generator, from the same batches.

    The discriminator sees real, fake and, for WGAN-GP, mixed colors in one forward pass: between several passes DDP
    would overwrite BatchNorm's buffers, and the backward pass would fail because their version has changed. The
    generator's update goes through the unwrapped, frozen discriminator, which needs no gradient exchange.

    With one batch, one forward pass of the generator serves both updates. With several, the discriminator's update
    needs all fakes before the generator's update begins. The generator then runs twice, first without gradients,
    because keeping all activations would use the memory that splitting the batch saves.
    """

    def __init__(
        self,
        generator: Network,
        discriminator: nn.Module,
        loss: ColorLoss,
        options: DiscriminatorOptions,
        adversarial_weight: float,
        generator_optimizer: ScheduledOptimizer,
        discriminator_optimizer: ScheduledOptimizer,
        autocast: Autocast = nullcontext,
        color_enhance: float = 1.0,
    ) -> None:
        """Take both networks (the generator as an `Outputs`), their losses and optimizers, and the autocast context.

        `color_enhance` is the factor by which the true colors are moved away from gray for the discriminator.
        """
        self.generator, self.discriminator = generator, discriminator
        self.loss, self.options, self.autocast = loss, options, autocast
        self.adversarial_weight, self.color_enhance = adversarial_weight, color_enhance
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer

    @property
    def optimizers(self) -> Sequence[ScheduledOptimizer]:
        """See `Step`."""
        return self.generator_optimizer, self.discriminator_optimizer

    def __call__(self, *batches: Batch) -> dict[str, Tensor]:
        """See `Step`; the names are loss, each loss of the generator, adversarial, discriminator and each penalty."""
        means = _Means(len(batches))
        outputs_of_single = self._generate(batches[0]) if len(batches) == 1 else None
        for batch, context in _sync_last(batches, self.discriminator):
            with context:
                fake = (outputs_of_single or self._generate_without_gradient(batch))["ab"].detach().float()
                discriminator_loss, penalties = self._discriminate(batch, fake)
                self.discriminator_optimizer.accumulate((discriminator_loss + sum(penalties.values())) / len(batches))
            means.add({"discriminator": discriminator_loss.detach()})
            means.add({name: value.detach() for name, value in penalties.items()})
        self.discriminator_optimizer.step()

        discriminator = unwrap(self.discriminator).requires_grad_(False)
        for batch, context in _sync_last(batches, self.generator):
            with context:
                outputs = outputs_of_single or self._generate(batch)
                with self.autocast():
                    logits = discriminator(batch.L, outputs["ab"].float())
                adversarial_loss = gan_losses.generator_loss(self.options.loss, logits.float())
                loss, parts = self.loss(outputs, batch.L, batch.ab)
                loss = loss + self.adversarial_weight * adversarial_loss
                self.generator_optimizer.accumulate(loss / len(batches))
            means.add({"loss": loss.detach(), **parts, "adversarial": adversarial_loss.detach()})
        self.generator_optimizer.step()
        discriminator.requires_grad_(True)
        return means.by_name()

    def _generate(self, batch: Batch) -> dict[str, Tensor]:
        with self.autocast():
            return self.generator(*batch.inputs)

    @torch.no_grad()
    def _generate_without_gradient(self, batch: Batch) -> dict[str, Tensor]:
        return self._generate(batch)

    def _discriminate(self, batch: Batch, fake: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the discriminator's loss and its weighted penalties by name."""
        options = self.options
        real_L, real = enhance_truth(batch.L, batch.ab, self.color_enhance)
        lightness, colors = [real_L, batch.L], [real.detach().requires_grad_(options.r1 > 0), fake]
        if options.loss == "wgan_gp":
            lightness.append(batch.L)
            colors.append(gan_losses.mix(real, fake))
        with self.autocast():
            all_logits = self.discriminator(torch.cat(lightness), torch.cat(colors))
        logits = all_logits.float().chunk(len(colors))
        penalties = {}
        if options.loss == "wgan_gp":
            penalties["gradient_penalty"] = options.gradient_penalty * gan_losses.gradient_penalty(logits[2], colors[2])
        if options.r1:
            penalties["r1"] = options.r1 * gan_losses.r1_penalty(logits[0], colors[0])
        return gan_losses.discriminator_loss(options.loss, logits[0], logits[1], options.label_smoothing), penalties

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
