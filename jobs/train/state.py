"""Training state of one worker: model, EMA weights, optimization step, checkpointing."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray.train.torch
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from colorize_core.checkpoint.state import pack_state, unpack_state
from colorize_core.checkpoint.weights import load_checkpoint, load_weights, save_checkpoint
from colorize_core.discriminators import build_discriminator
from colorize_core.models import build_model
from colorize_core.models.base import ColorModel
from colorize_core.runtime.precision import autocast
from colorize_core.training.color_loss import ColorLoss
from colorize_core.training.optimizer import ScheduledOptimizer, learning_rate_factor, learning_rate_scale
from colorize_core.training.steps import AdversarialStep, Batch, Outputs, Step, SupervisedStep, running_average
from jobs.run.checkpoints import read_checkpoint
from jobs.train.config import TrainConfig

_STATE = "training_state.safetensors"
SIZES = "sizes.json"
"""File with the sizes of the other files of a checkpoint; it is written last."""


@dataclass
class TrainState:
    """Model, its moving average and its optimization step."""

    model: ColorModel
    """Model with the weights that are optimized."""
    step: Step
    average: AveragedModel | None
    """Exponential moving average of the weights, with optim.ema."""

    @property
    def eval_model(self) -> ColorModel:
        """Model that is validated and saved: the moving average if there is one."""
        return self.average.module if self.average else self.model  # type: ignore[return-value]

    def train_step(self, *batches: Batch) -> dict[str, Tensor]:
        """Take one optimizer step; return the losses by name."""
        losses = self.step(*batches)
        if self.average:
            self.average.update_parameters(self.model)
        return losses

    @property
    def lr(self) -> float:
        """Learning rate of the model's last step."""
        return self.step.optimizers[0].lr

    def save(self, directory: str, working_size: int, progress: dict[str, Any]) -> None:
        """Write a checkpoint of `eval_model`, the state for `restore`, and the sizes of both files."""
        save_checkpoint(
            directory, self.eval_model, working_size, {"epoch": progress["epoch"], "step": progress["step"]}
        )
        state: dict[str, Any] = {"step": self.step.state_dict(), "progress": progress}
        if self.average:
            state["raw"] = self.model.state_dict()
            state["averaged_steps"] = self.average.n_averaged
        folder = Path(directory)
        (folder / _STATE).write_bytes(pack_state(state))
        sizes = {file.name: file.stat().st_size for file in folder.iterdir()}
        (folder / SIZES).write_text(json.dumps(sizes))

    def restore(self, directory: str) -> dict[str, Any]:
        """Load what `save` wrote and return its progress; raises UserError, before any change, if it is damaged."""
        saved, _ = load_checkpoint(directory)
        state = unpack_state(Path(directory) / _STATE)
        load_weights(self.eval_model, saved.state_dict(), directory)
        if self.average:
            load_weights(self.model, state["raw"], directory)
            self.average.n_averaged.copy_(state["averaged_steps"])
        self.step.load_state_dict(state["step"])
        return state["progress"]

    def set_step(self, steps: int) -> None:
        """Set the learning rate schedules to the given step."""
        for scheduled in self.step.optimizers:
            scheduled.set_step(steps)


def build_train_state(
    config: TrainConfig, color_prior: list[list[float]], *, workers: int, steps_per_epoch: int
) -> TrainState:
    """Build the model on this worker's device, wrapped in DDP if there are several workers, and its step."""
    model = build_model(config.model.name, **config.model.options)
    if config.model.init_from:
        start, _ = read_checkpoint(config.model.init_from, config.storage)
        load_weights(model, start.state_dict(), config.model.init_from)
    device, optim = ray.train.torch.get_device(), config.optim
    network = ray.train.torch.prepare_model(Outputs(model).to(memory_format=torch.channels_last))
    average = running_average(model, optim.ema) if optim.ema else None
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    scale = learning_rate_scale(optim.lr_scaling, workers)
    optimizer = torch.optim.AdamW(
        trained, lr=scale * optim.lr, betas=optim.betas, weight_decay=optim.weight_decay, fused=True
    )
    factor = partial(
        learning_rate_factor,
        optim.schedule,
        steps=optim.epochs * steps_per_epoch,
        warmup=round(optim.warmup_epochs * steps_per_epoch),
        milestones=optim.milestones,
        gamma=optim.gamma,
    )
    scheduled = ScheduledOptimizer(optimizer, clip_norm=optim.clip_norm, factor=factor)
    loss = ColorLoss(config.loss, color_prior).to(device)
    context = autocast(optim.precision, device)
    forward = torch.compile(network) if optim.compile else network
    if not config.loss.adversarial:
        return TrainState(model, SupervisedStep(forward, loss, scheduled, context), average)
    options = config.discriminator
    discriminator = build_discriminator(options).to(memory_format=torch.channels_last)
    if device.type == "cuda":
        discriminator = nn.SyncBatchNorm.convert_sync_batchnorm(discriminator)
    discriminator = ray.train.torch.prepare_model(discriminator)
    adam = torch.optim.Adam(
        discriminator.parameters(), lr=scale * (options.lr or optim.lr), betas=options.betas or optim.betas, fused=True
    )
    discriminator_optimizer = ScheduledOptimizer(adam, factor=factor)
    step = AdversarialStep(
        forward,
        discriminator,
        loss,
        options,
        config.loss.adversarial,
        scheduled,
        discriminator_optimizer,
        context,
        config.loss.color_enhance,
    )
    return TrainState(model, step, average)
