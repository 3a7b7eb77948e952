"""Inference loops of other colorization projects, in their best reasonable form, as baselines.

Both loops use the same checkpoint, one photograph at a time, float32 and NCHW, a square working size, and JPEG of the
same quality as an archive run.
"""

import importlib
import importlib.util
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from colorize_core.benchmark.baselines.timing import Kernel, KernelTimer
from colorize_core.color.lab import denormalize_ab, normalize_L
from colorize_core.photo.formats import encode_image
from colorize_core.photo.options import EncodingOptions

_ENCODING = EncodingOptions()
_CV2 = "cv2"


@dataclass(frozen=True)
class SquareModel:
    """A model as these projects run it."""

    model: nn.Module
    """In evaluation mode, float32, NCHW."""
    size: int
    """Side of its square input in pixels."""

    def ab(self, L: Tensor) -> Tensor:
        """Predict chroma (1, 2, size, size) from lightness (1, 1, size, size), both in CIELAB units."""
        with torch.inference_mode():
            return denormalize_ab(self.model(normalize_L(L)))


Loop = Callable[[SquareModel, bytes, KernelTimer], bytes]
"""Colors one photograph file; returns the color image as JPEG."""


def with_skimage(model: SquareModel, data: bytes, timer: KernelTimer) -> bytes:
    """Color with Pillow and scikit-image in float64, as in Zhang et al.'s demo and in tutorials.

    They convert the resized photograph to CIELAB a second time; here its lightness is resized instead, which is faster.
    """
    from skimage import color

    with timer.time(Kernel.JPEG_DECODE):
        rgb = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    with timer.time(Kernel.LIGHTNESS):
        L = color.rgb2lab(rgb)[..., :1]
    with timer.time(Kernel.RESIZE):
        plane = torch.from_numpy(L[..., 0].astype(np.float32))[None, None]
        small = F.interpolate(plane, (model.size, model.size), mode="bilinear", antialias=True)
    with timer.time(Kernel.MODEL):
        ab = model.ab(small)
    with timer.time(Kernel.CHROMA):
        large = F.interpolate(ab, rgb.shape[:2], mode="bilinear")[0].permute(1, 2, 0).numpy()
    with timer.time(Kernel.TO_SRGB), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-image warns about colors outside sRGB, which it clips
        image = (color.lab2rgb(np.concatenate((L, large), axis=2)) * 255).round().astype(np.uint8)
    with timer.time(Kernel.JPEG_ENCODE):
        return encode_jpeg(image)


def encode_jpeg(rgb: np.ndarray) -> bytes:
    """Encode as JPEG with the quality of an archive run and without metadata, by Pillow."""
    return encode_image(rgb, "JPEG", quality=_ENCODING.quality, subsampling=_ENCODING.subsampling)


def with_opencv(model: SquareModel, data: bytes, timer: KernelTimer) -> bytes:
    """Color with OpenCV in float32, as DDColor does.

    DDColor upsamples chroma by nearest neighbor; here it is bilinear, as its users request and other projects do.
    """
    cv2: Any = importlib.import_module(_CV2)
    with timer.time(Kernel.JPEG_DECODE):
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    with timer.time(Kernel.LIGHTNESS):
        L = cv2.cvtColor(bgr.astype(np.float32) / 255, cv2.COLOR_BGR2Lab)[..., 0]
    with timer.time(Kernel.RESIZE):
        small = cv2.resize(L, (model.size, model.size), interpolation=cv2.INTER_AREA)
    with timer.time(Kernel.MODEL):
        ab = model.ab(torch.from_numpy(small)[None, None])
    with timer.time(Kernel.CHROMA):
        planes = ab[0].permute(1, 2, 0).contiguous().numpy()
        large = cv2.resize(planes, (bgr.shape[1], bgr.shape[0]), interpolation=cv2.INTER_LINEAR)
    with timer.time(Kernel.TO_SRGB):
        lab = np.dstack((L, large))
        image = (cv2.cvtColor(lab, cv2.COLOR_Lab2BGR) * 255).round().clip(0, 255).astype(np.uint8)
    with timer.time(Kernel.JPEG_ENCODE):
        options = [cv2.IMWRITE_JPEG_QUALITY, _ENCODING.quality]
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
        _, encoded = cv2.imencode(".jpg", image, options)
    return encoded.tobytes()


def has_opencv() -> bool:
    """Return True if OpenCV, an optional package, is installed."""
    return importlib.util.find_spec(_CV2) is not None


@dataclass(frozen=True)
class LoopTiming:
    """Speed of a loop."""

    seconds: float
    """Wall-clock seconds per photograph."""
    kernels: dict[str, float]
    """CPU milliseconds per photograph, by kernel."""


def time_loop(loop: Loop, model: SquareModel, photographs: Sequence[bytes], threads: int) -> LoopTiming:
    """Color photographs one after the other on a number of threads, after one warm-up photograph."""
    torch.set_num_threads(threads)
    if has_opencv():
        importlib.import_module(_CV2).setNumThreads(threads)
    loop(model, photographs[0], KernelTimer())
    timer, start = KernelTimer(), perf_counter()
    for data in photographs:
        loop(model, data, timer)
    return LoopTiming((perf_counter() - start) / len(photographs), timer.milliseconds(len(photographs)))
