"""Training without Ray, as baselines: a plain PyTorch loop, and the training step on one batch in memory."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from colorize_core.color.lab import normalize_ab, normalize_L
from colorize_core.models.base import ColorModel
from colorize_core.runtime.memory import retain_freed_memory
from colorize_core.runtime.precision import Precision, autocast
from colorize_core.training.color_loss import ColorLoss
from colorize_core.training.losses import LossOptions
from colorize_core.training.optimizer import ScheduledOptimizer
from colorize_core.training.steps import Batch, Outputs, SupervisedStep

WARM_UP = 2
"""Untimed steps before the timed ones."""
_LEARNING_RATE = 1e-4


class LoopPhotographs(Dataset[tuple[Tensor, Tensor]]):
    """Photographs converted one by one on access, as tutorials do: by Pillow, then scikit-image."""

    def __init__(self, files: Sequence[Path], size: int) -> None:
        """Read from `files`; resize to squares of `size` pixels."""
        self._files, self._size = list(files), size

    def __len__(self) -> int:
        """Return the number of photographs."""
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return L (1, S, S) and ab (2, S, S) in network units, mirrored with probability 0.5."""
        from skimage import color

        image = Image.open(self._files[index]).convert("RGB")
        image = image.resize((self._size, self._size), Image.Resampling.BICUBIC)
        if torch.rand(()) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        lab = torch.from_numpy(color.rgb2lab(np.asarray(image)).astype(np.float32)).permute(2, 0, 1)
        return normalize_L(lab[:1]), normalize_ab(lab[1:])


def loop_images_per_second(
    model: ColorModel, files: Sequence[Path], size: int, batch: int, steps: int, *, cores: int, device: torch.device
) -> float:
    """Measure a plain PyTorch loop: a DataLoader, float32 in NCHW, L1, Adam.

    Args:
        model: trained in place.
        files: color photographs.
        size: side of the squares in pixels.
        batch: batch size.
        steps: timed steps, after two untimed ones.
        cores: threads of the model, and worker processes of the DataLoader.
        device: of the model.
    """
    torch.set_num_threads(cores)
    model.to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=_LEARNING_RATE)
    photographs = LoopPhotographs(files, size)
    loader = DataLoader(
        photographs, batch, shuffle=True, num_workers=cores, drop_last=True, pin_memory=device.type == "cuda"
    )
    times = []
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    for L, ab in itertools.islice(batches, WARM_UP + steps):
        loss = nn.functional.l1_loss(model(L.to(device)), ab.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()  # tutorials read the loss in every step
        times.append(perf_counter())
    return steps * batch / (times[-1] - times[WARM_UP - 1])


@dataclass(frozen=True)
class StepOptions:
    """Optimizations of the training step; the defaults are those of `train`."""

    precision: Precision = "auto"
    channels_last: bool = True
    fused: bool = True
    """Fused optimizer kernel."""
    retain_memory: bool = True
    """See `memory.retain_freed_memory`."""
    compiled: bool = False

    def ablations(self) -> dict[str, "StepOptions"]:
        """Return the options without one of the active optimizations each, by the name of the missing one."""
        options = {
            "bf16": replace(self, precision="fp32"),
            "channels_last": replace(self, channels_last=False),
            "fused optimizer": replace(self, fused=False),
            "kept memory": replace(self, retain_memory=False),
            "compile": replace(self, compiled=False),
        }
        return {name: reduced for name, reduced in options.items() if reduced != self}


def make_step(model: ColorModel, device: torch.device, options: StepOptions) -> SupervisedStep:
    """Build the training step of `train` with an L1 loss, on one device."""
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    network: nn.Module = Outputs(model).to(device).to(memory_format=layout).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, fused=options.fused)
    forward = torch.compile(network) if options.compiled else network
    context = autocast(options.precision, device)
    return SupervisedStep(
        forward, ColorLoss(LossOptions.model_validate({"l1": 1.0})), ScheduledOptimizer(optimizer), context
    )


def make_batch(size: int, batch: int, device: torch.device) -> Batch:
    """Return a batch of uniform noise in network units."""
    generator = torch.Generator().manual_seed(0)
    L = (torch.rand(batch, 1, size, size, generator=generator) * 2 - 1).to(device)
    ab = (torch.rand(batch, 2, size, size, generator=generator) - 0.5).to(device)
    return Batch(L, L, ab)


def step_images_per_second(
    model: ColorModel, size: int, batch: int, steps: int, *, cores: int, device: torch.device, options: StepOptions
) -> float:
    """Measure the training step of `train` on one batch in memory; arguments as in `loop_images_per_second`.

    With `options.retain_memory`, this process retains all freed memory from then on.
    """
    torch.set_num_threads(cores)
    if options.retain_memory:
        retain_freed_memory(everything=True)
    step, photographs = make_step(model, device, options), make_batch(size, batch, device)
    times = []
    for _ in range(WARM_UP + steps):
        float(step(photographs)["loss"])  # waits for a GPU
        times.append(perf_counter())
    return steps * batch / (times[-1] - times[WARM_UP - 1])
