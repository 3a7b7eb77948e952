"""Training without Ray: the tutorials' loop, and the bare step on tensors that are already in memory."""

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
from colorize_core.training.losses import ColorLoss
from colorize_core.training.optimizer import ScheduledOptimizer
from colorize_core.training.steps import Batch, Outputs, SupervisedStep

WARM_UP = 2
"""Steps before those that are timed."""
_RATE = 1e-4


class TutorialPhotographs(Dataset[tuple[Tensor, Tensor]]):
    """Files made into tensors one by one when they are asked for, as the tutorials do: Pillow, then scikit-image."""

    def __init__(self, files: Sequence[Path], size: int) -> None:
        """Keep the names."""
        self._files, self._size = list(files), size

    def __len__(self) -> int:
        """Number of photographs."""
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """L (1, S, S) and ab (2, S, S) on the network's scale, mirrored or not."""
        from skimage import color

        picture = Image.open(self._files[index]).convert("RGB")
        picture = picture.resize((self._size, self._size), Image.Resampling.BICUBIC)
        if torch.rand(()) < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        lab = torch.from_numpy(color.rgb2lab(np.asarray(picture)).astype(np.float32)).permute(2, 0, 1)
        return normalize_L(lab[:1]), normalize_ab(lab[1:])


def tutorial_pace(
    model: ColorModel, files: Sequence[Path], size: int, batch: int, steps: int, *, cores: int, device: torch.device
) -> float:
    """Images/s of the tutorials' loop: a DataLoader, float32 in NCHW, L1, Adam.

    Args:
        model: to be trained.
        files: photographs in color.
        size: side of the squares.
        batch: photographs in a batch.
        steps: that are timed, after two that are not.
        cores: threads of the model, and processes of the DataLoader.
        device: of the model.
    """
    torch.set_num_threads(cores)
    model.to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=_RATE)
    photographs = TutorialPhotographs(files, size)
    loader = DataLoader(
        photographs, batch, shuffle=True, num_workers=cores, drop_last=True, pin_memory=device.type == "cuda"
    )
    times = []
    endless = itertools.chain.from_iterable(itertools.repeat(loader))
    for L, ab in itertools.islice(endless, WARM_UP + steps):
        loss = nn.functional.l1_loss(model(L.to(device)), ab.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()  # the tutorials' meters read it at every step
        times.append(perf_counter())
    return steps * batch / (times[-1] - times[WARM_UP - 1])


@dataclass(frozen=True)
class Levers:
    """What makes a step of `train` fast; by default what it has by itself."""

    precision: Precision = "auto"
    channels_last: bool = True
    fused: bool = True
    """The optimizer's arithmetic in one kernel."""
    kept_memory: bool = True
    """See `memory.retain_freed_memory`."""
    compiled: bool = False

    def without_each(self) -> dict[str, "Levers"]:
        """The same without one of those that it has, by the name of the one that is missing."""
        return {
            name: less
            for name, less in (
                ("bf16", replace(self, precision="fp32")),
                ("channels_last", replace(self, channels_last=False)),
                ("fused optimizer", replace(self, fused=False)),
                ("kept memory", replace(self, kept_memory=False)),
                ("compile", replace(self, compiled=False)),
            )
            if less != self
        }


def make_step(model: ColorModel, device: torch.device, levers: Levers) -> SupervisedStep:
    """The step of `train` with L1, on one device."""
    layout = torch.channels_last if levers.channels_last else torch.contiguous_format
    network: nn.Module = Outputs(model).to(device).to(memory_format=layout).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, fused=levers.fused)
    forward = torch.compile(network) if levers.compiled else network
    return SupervisedStep(
        forward, ColorLoss({"l1": 1.0}), ScheduledOptimizer(optimizer), autocast(levers.precision, device)
    )


def make_batch(size: int, batch: int, device: torch.device) -> Batch:
    """Photographs of noise, on the network's scale."""
    generator = torch.Generator().manual_seed(0)
    L = (torch.rand(batch, 1, size, size, generator=generator) * 2 - 1).to(device)
    ab = (torch.rand(batch, 2, size, size, generator=generator) - 0.5).to(device)
    return Batch(L, L, ab)


def bare_pace(
    model: ColorModel, size: int, batch: int, steps: int, *, cores: int, device: torch.device, levers: Levers
) -> float:
    """Images/s of the step of `train` on one batch that is in memory; arguments as of `tutorial_pace`.

    With kept memory, this process keeps all that it frees from then on.
    """
    torch.set_num_threads(cores)
    if levers.kept_memory:
        retain_freed_memory(everything=True)
    step, photographs = make_step(model, device, levers), make_batch(size, batch, device)
    times = []
    for _ in range(WARM_UP + steps):
        float(step(photographs)["loss"])  # waits for a GPU
        times.append(perf_counter())
    return steps * batch / (times[-1] - times[WARM_UP - 1])
