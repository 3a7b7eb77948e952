"""Speed limit of this machine: the fastest correct kernels for one photograph, each in a tight loop on one core.

The kernels do without metrics, metadata, storage, Ray, guided upsampling and gamut mapping, so the difference between a
job and their sum is the cost of these. The Colorizer alone, which does everything except storage and Ray, is between
the two. Both are measured while the other cores color photographs, as in a job (`background_load`).
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

from colorize_core.benchmark.baselines.inference import encode_jpeg
from colorize_core.benchmark.baselines.timing import Kernel, core_milliseconds
from colorize_core.color.kernels import clip_rows
from colorize_core.color.pixels import pixels_to_lab
from colorize_core.colorizer import Colorizer
from colorize_core.inference.openvino_network import open_network
from colorize_core.inference.prediction import predict_ab, shrink, working_shape
from colorize_core.inference.upsampling import ChromaRows
from colorize_core.runtime.precision import Precision, autocast
from colorize_core.runtime.stage_timer import StageTimer

_CPU = torch.device("cpu")
_BATCHES = (4, 16)
_REPEATS = 3


def measure_kernels(model: nn.Module, working_size: int, photographs: Sequence[bytes]) -> dict[str, float]:
    """Return CPU milliseconds per photograph by kernel.

    Args:
        model: in evaluation mode, on the CPU.
        working_size: that of the archive job.
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
    large = [upsample(planes, plane) for planes, plane in zip(ab, L, strict=True)]
    rgb = [to_srgb(plane, planes) for plane, planes in zip(L, large, strict=True)]
    times = {
        Kernel.JPEG_DECODE: _milliseconds(decode, photographs),
        Kernel.LIGHTNESS: _milliseconds(lambda pixels: pixels_to_lab(pixels, _CPU), images),
        Kernel.RESIZE: _milliseconds(resize, L),
        Kernel.MODEL: fastest_inference(model, small[0]),
        Kernel.CHROMA: _milliseconds(upsample, ab, L),
        Kernel.TO_SRGB: _milliseconds(to_srgb, L, large),
        Kernel.JPEG_ENCODE: _milliseconds(encode_jpeg, rgb),
    }
    return {kernel.value: value for kernel, value in times.items()}


def measure_colorizer(colorizer: Colorizer, photographs: Sequence[bytes]) -> dict[str, float]:
    """Return CPU milliseconds per photograph by stage of the Colorizer in this process, on one thread.

    Args:
        colorizer: on the CPU.
        photographs: a batch of files, colored once for warm-up and once for the measurement.
    """
    torch.set_num_threads(1)
    colorizer.colorize(photographs, "jpeg")
    colorizer.stages = StageTimer(time.process_time)
    colorizer.colorize(photographs, "jpeg")
    return {stage: seconds / len(photographs) * 1000 for stage, seconds in colorizer.stages.pop().items()}


def _milliseconds(kernel: Callable[..., object], *inputs: Sequence[object]) -> float:
    """Return CPU milliseconds per call, averaged over all inputs."""

    def loop() -> None:
        for arguments in zip(*inputs, strict=True):
            kernel(*arguments)

    return core_milliseconds(loop, _REPEATS) / len(inputs[0])


def decode(data: bytes) -> np.ndarray:
    """Decode a file to (H, W) or (H, W, 3) uint8."""
    image = Image.open(io.BytesIO(data))
    return np.asarray(image if image.mode == "L" else image.convert("RGB"))


def upsample(ab: Tensor, L: Tensor) -> Tensor:
    """Upsample chroma to the size of L, bilinearly."""
    height, width = L.shape[-2:]
    return ChromaRows(ab, L, (height, width), "bilinear")(slice(0, height), L)


def to_srgb(L: Tensor, ab: Tensor) -> np.ndarray:
    """Convert to (H, W, 3) uint8; colors outside sRGB are clipped."""
    return clip_rows(L[0, 0].numpy(), ab[0].numpy())


def fastest_inference(model: nn.Module, L: Tensor) -> float:
    """Return CPU milliseconds of the model per photograph, with the fastest engine, precision and batch size.

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
    compiled = [network for precision in precisions if (network := open_network(model, _CPU, precision))]
    times += [core_milliseconds(partial(predict_ab, network, L), _REPEATS) for network in compiled]
    return min(times)
