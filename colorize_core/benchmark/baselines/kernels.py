"""How fast this machine could be: the cheapest correct kernels that a picture needs, each in a tight loop on one core.

No metrics, metadata, storage, Ray, guided chroma or gamut: what a job spends beyond the sum of these is its own.
Between the two lies the Colorizer by itself, which does all but storage and Ray. Both are measured while the other
cores color photographs too, as they do in a job (`neighbors`).
"""

import copy
import io
import itertools
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from colorize_core.benchmark.baselines.clock import (
    CHROMA,
    JPEG_DECODE,
    JPEG_ENCODE,
    LIGHTNESS,
    MODEL,
    RESIZE,
    TO_SRGB,
    core_milliseconds,
)
from colorize_core.benchmark.baselines.inference import encode_jpeg
from colorize_core.color.kernels import clip_rows
from colorize_core.color.pixels import pixels_to_lab
from colorize_core.colorizer import Colorizer
from colorize_core.inference.prediction import predict_ab, shrink, working_shape
from colorize_core.inference.upsampling import ChromaRows
from colorize_core.runtime.precision import Precision, autocast
from colorize_core.runtime.stage_timer import StageTimer

_CPU = torch.device("cpu")
_BATCHES = (4, 16)
_REPEATS = 3


def limit(model: nn.Module, working_size: int, photographs: Sequence[bytes]) -> dict[str, float]:
    """Core ms for each picture, by kernel.

    Args:
        model: in evaluation mode, on the CPU.
        working_size: as the archive job has it.
        photographs: JPEG files.
    """
    torch.set_num_threads(1)
    images = [decode(data) for data in photographs]
    L = [pixels_to_lab(pixels, _CPU)[:, :1] for pixels in images]

    def resize(plane: Tensor) -> Tensor:
        height, width = plane.shape[-2:]
        return shrink(plane, working_shape(height, width, working_size))

    small = [resize(plane) for plane in L]
    ab = [torch.zeros(1, 2, *plane.shape[-2:]) for plane in small]
    large = [enlarge(planes, plane) for planes, plane in zip(ab, L, strict=True)]
    rgb = [to_srgb(plane, planes) for plane, planes in zip(L, large, strict=True)]
    return {
        JPEG_DECODE: _each(decode, photographs),
        LIGHTNESS: _each(lambda pixels: pixels_to_lab(pixels, _CPU), images),
        RESIZE: _each(resize, L),
        MODEL: cheapest_inference(model, small[0]),
        CHROMA: _each(enlarge, ab, L),
        TO_SRGB: _each(to_srgb, L, large),
        JPEG_ENCODE: _each(encode_jpeg, rgb),
    }


def colorizer_without_ray(colorizer: Colorizer, photographs: Sequence[bytes]) -> dict[str, float]:
    """Core ms for each picture, by stage, of the Colorizer in this process, on one core.

    Args:
        colorizer: on the CPU.
        photographs: a batch of files, colored twice, once not counted.
    """
    torch.set_num_threads(1)
    colorizer.colorize(photographs, "jpeg")
    colorizer.stages = StageTimer(time.process_time)
    colorizer.colorize(photographs, "jpeg")
    return {stage: seconds / len(photographs) * 1000 for stage, seconds in colorizer.stages.pop().items()}


def _each(kernel: Callable[..., object], *inputs: Sequence[object]) -> float:
    """Core ms of a call, over all inputs."""

    def loop() -> None:
        for arguments in zip(*inputs, strict=True):
            kernel(*arguments)

    return core_milliseconds(loop, _REPEATS) / len(inputs[0])


def decode(data: bytes) -> np.ndarray:
    """Pixels of a file, (H, W) or (H, W, 3) uint8."""
    image = Image.open(io.BytesIO(data))
    return np.asarray(image if image.mode == "L" else image.convert("RGB"))


def enlarge(ab: Tensor, L: Tensor) -> Tensor:
    """Chroma at full size, bilinear."""
    height, width = L.shape[-2:]
    return ChromaRows(ab, L, (height, width), "bilinear")(slice(0, height), L)


def to_srgb(L: Tensor, ab: Tensor) -> np.ndarray:
    """(H, W, 3) uint8, colors outside sRGB clipped."""
    return clip_rows(L[0, 0].numpy(), ab[0].numpy())


def cheapest_inference(model: nn.Module, L: Tensor) -> float:
    """Core ms of the model for each picture, at the best of several settings.

    Args:
        model: in evaluation mode.
        L: (1, 1, h, w) lightness at the working size.
    """
    model = copy.deepcopy(model).to(memory_format=torch.channels_last)
    precisions: tuple[Precision, ...] = ("bf16", "fp32")
    times = []
    for precision, batch in itertools.product(precisions, _BATCHES):
        with autocast(precision, _CPU)():
            inputs = L.expand(batch, -1, -1, -1).contiguous()
            times.append(core_milliseconds(partial(predict_ab, model, inputs), _REPEATS) / batch)
    return min(times)
