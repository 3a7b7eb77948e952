"""One optimisation step, supervised or adversarial; knows nothing of Ray, processes or files.

The networks may be wrapped in DistributedDataParallel. Each step runs one forward pass through each wrapped network,
so that plain BatchNorm works under DDP (see `AdversarialStep`).
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from colorize_core.color import network_scale
from colorize_core.losses import adversarial_bce, discriminator_bce, pixel_loss


class Step(Protocol):
    """An optimisation step with the state that resuming needs."""

    def __call__(self, L: Tensor, ab: Tensor) -> dict[str, Tensor]:
        """Update the weights from one batch on the network's scale; returns the losses by name, detached."""

    def state_dict(self) -> dict[str, Any]:
        """Everything but the generator's weights."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`."""


def prepare_batch(
    L: Tensor, ab: Tensor, device: torch.device | str, flip: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Bring 8-bit rows of a shard to the device and the network's scale.

    Args:
        L: (B, 1, S, S) uint8; crosses to the device as bytes, a quarter of the traffic of floats.
        ab: (B, 2, S, S) uint8.
        device: where the network is.
        flip: draws which photographs are mirrored, each with probability 1/2; None mirrors none.

    Returns:
        L and ab, float32.
    """
    L, ab = network_scale(L.to(device, non_blocking=True), ab.to(device, non_blocking=True))
    if flip is not None:
        mirrored = (torch.rand(len(L), generator=flip) < 0.5).to(device).view(-1, 1, 1, 1)
        L, ab = torch.where(mirrored, L.flip(-1), L), torch.where(mirrored, ab.flip(-1), ab)
    return L, ab


def unwrap(network: nn.Module) -> nn.Module:
    """The network inside DistributedDataParallel, or the network itself."""
    inner = getattr(network, "module", network)
    assert isinstance(inner, nn.Module)
    return inner


class SupervisedStep:
    """Regression of ab on L."""

    def __init__(self, model: nn.Module, weights: Mapping[str, float], optimizer: torch.optim.Optimizer) -> None:
        """Keep the model, the weight of each pixel loss, and the optimizer of the model's parameters."""
        self.model, self.weights, self.optimizer = model, weights, optimizer

    def __call__(self, L: Tensor, ab: Tensor) -> dict[str, Tensor]:
        """See `Step`."""
        loss, parts = pixel_loss(self.weights, self.model(L), ab)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.detach(), **parts}

    def state_dict(self) -> dict[str, Any]:
        """See `Step`."""
        return {"optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Step`."""
        self.optimizer.load_state_dict(state["optimizer"])


class AdversarialStep:
    """pix2pix (Isola et al. 2017): the discriminator's update, then the generator's, from one batch.

    The discriminator sees real and fake in one forward pass: two passes would have DDP overwrite BatchNorm's buffers
    between them, and the backward pass then fails on the changed version. The generator's update goes through the
    unwrapped, frozen discriminator, which needs no gradient exchange of its own.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        weights: Mapping[str, float],
        adversarial_weight: float,
        generator_optimizer: torch.optim.Optimizer,
        discriminator_optimizer: torch.optim.Optimizer,
    ) -> None:
        """Keep both networks and optimizers, the pixel losses' weights and the adversarial term's."""
        self.generator, self.discriminator = generator, discriminator
        self.weights, self.adversarial_weight = weights, adversarial_weight
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer

    def __call__(self, L: Tensor, ab: Tensor) -> dict[str, Tensor]:
        """See `Step`; names are loss, each pixel loss, adversarial and discriminator."""
        fake = self.generator(L)

        logits = self.discriminator(torch.cat((L, L)), torch.cat((ab, fake.detach())))
        discriminator_loss = discriminator_bce(*logits.chunk(2))
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        discriminator_loss.backward()
        self.discriminator_optimizer.step()

        judge = unwrap(self.discriminator).requires_grad_(False)
        adversarial = adversarial_bce(judge(L, fake), real=True)
        pixel, parts = pixel_loss(self.weights, fake, ab)
        loss = pixel + self.adversarial_weight * adversarial
        self.generator_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.generator_optimizer.step()
        judge.requires_grad_(True)

        return {
            "loss": loss.detach(),
            **parts,
            "adversarial": adversarial.detach(),
            "discriminator": discriminator_loss.detach(),
        }

    def state_dict(self) -> dict[str, Any]:
        """See `Step`."""
        return {
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "discriminator": unwrap(self.discriminator).state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Step`."""
        self.generator_optimizer.load_state_dict(state["generator_optimizer"])
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
        unwrap(self.discriminator).load_state_dict(state["discriminator"])
