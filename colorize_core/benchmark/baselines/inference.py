"""What known colorization projects do for each picture, in its best reasonable form, to compare with.

Both loops take the same checkpoint, one picture at a time, in float32 and NCHW, at a square working size, and write
JPEG of the same quality as an archive run.
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

from colorize_core.benchmark.baselines.clock import (
    CHROMA,
    JPEG_DECODE,
    JPEG_ENCODE,
    LIGHTNESS,
    MODEL,
    RESIZE,
    TO_SRGB,
    Clock,
)
from colorize_core.color.lab import denormalize_ab, normalize_L
from colorize_core.photo.encode import Encoding

_ENCODING = Encoding()
_CV2 = "cv2"


@dataclass(frozen=True)
class Network:
    """A model as these projects run it."""

    model: nn.Module
    """In evaluation mode, float32, NCHW."""
    size: int
    """Side of the square it sees."""

    def ab(self, L: Tensor) -> Tensor:
        """Chroma (1, 2, size, size) of lightness (1, 1, size, size), CIELAB units."""
        with torch.inference_mode():
            return denormalize_ab(self.model(normalize_L(L)))


Loop = Callable[[Network, bytes, Clock], bytes]
"""A file to its picture in color, as JPEG."""


def with_skimage(network: Network, data: bytes, clock: Clock) -> bytes:
    """Pillow and scikit-image in float64, as in Zhang et al.'s demo and in the tutorials.

    They convert the shrunk picture to CIELAB once more; here its lightness is shrunk instead, which is cheaper.
    """
    from skimage import color

    with clock.of(JPEG_DECODE):
        rgb = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    with clock.of(LIGHTNESS):
        L = color.rgb2lab(rgb)[..., :1]
    with clock.of(RESIZE):
        plane = torch.from_numpy(L[..., 0].astype(np.float32))[None, None]
        small = F.interpolate(plane, (network.size, network.size), mode="bilinear", antialias=True)
    with clock.of(MODEL):
        ab = network.ab(small)
    with clock.of(CHROMA):
        large = F.interpolate(ab, rgb.shape[:2], mode="bilinear")[0].permute(1, 2, 0).numpy()
    with clock.of(TO_SRGB), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of colors outside sRGB, which it clips
        picture = (color.lab2rgb(np.concatenate((L, large), axis=2)) * 255).round().astype(np.uint8)
    with clock.of(JPEG_ENCODE):
        return encode_jpeg(picture)


def encode_jpeg(rgb: np.ndarray) -> bytes:
    """A JPEG file of an archive run's quality, without metadata, by Pillow."""
    sink = io.BytesIO()
    Image.fromarray(rgb).save(sink, "JPEG", quality=_ENCODING.quality, subsampling=_ENCODING.subsampling)
    return sink.getvalue()


def with_opencv(network: Network, data: bytes, clock: Clock) -> bytes:
    """OpenCV in float32, as DDColor does.

    DDColor enlarges chroma by nearest neighbors; here it is bilinear, as DDColor's users ask for and others do.
    """
    cv2: Any = importlib.import_module(_CV2)
    with clock.of(JPEG_DECODE):
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    with clock.of(LIGHTNESS):
        L = cv2.cvtColor(bgr.astype(np.float32) / 255, cv2.COLOR_BGR2Lab)[..., 0]
    with clock.of(RESIZE):
        small = cv2.resize(L, (network.size, network.size), interpolation=cv2.INTER_AREA)
    with clock.of(MODEL):
        ab = network.ab(torch.from_numpy(small)[None, None])
    with clock.of(CHROMA):
        planes = ab[0].permute(1, 2, 0).contiguous().numpy()
        large = cv2.resize(planes, (bgr.shape[1], bgr.shape[0]), interpolation=cv2.INTER_LINEAR)
    with clock.of(TO_SRGB):
        lab = np.dstack((L, large))
        picture = (cv2.cvtColor(lab, cv2.COLOR_Lab2BGR) * 255).round().clip(0, 255).astype(np.uint8)
    with clock.of(JPEG_ENCODE):
        options = [cv2.IMWRITE_JPEG_QUALITY, _ENCODING.quality]
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
        _, encoded = cv2.imencode(".jpg", picture, options)
    return encoded.tobytes()


def has_opencv() -> bool:
    """Whether OpenCV can be imported; it is no dependency."""
    return importlib.util.find_spec(_CV2) is not None


def set_threads(count: int) -> None:
    """Threads of torch and, where it is, of OpenCV."""
    torch.set_num_threads(count)
    if has_opencv():
        importlib.import_module(_CV2).setNumThreads(count)


@dataclass(frozen=True)
class Pace:
    """How a loop did."""

    seconds: float
    """For each picture."""
    kernels: dict[str, float]
    """Core ms for each picture, by kernel."""


def run(loop: Loop, network: Network, photographs: Sequence[bytes], threads: int) -> Pace:
    """Color photographs one after the other, after one that is not counted."""
    set_threads(threads)
    loop(network, photographs[0], Clock())
    clock, start = Clock(), perf_counter()
    for data in photographs:
        loop(network, data, clock)
    return Pace((perf_counter() - start) / len(photographs), clock.milliseconds(len(photographs)))
