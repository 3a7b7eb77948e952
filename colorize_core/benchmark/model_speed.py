"""Speed of the models alone: forward passes and training steps by size, batch and precision."""

import logging
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from resource import RUSAGE_SELF, getrusage
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from colorize_core.benchmark.baselines.training import StepOptions, make_batch, make_step
from colorize_core.benchmark.machine import available_cores
from colorize_core.benchmark.model_facts import flops
from colorize_core.benchmark.tables import figure_table
from colorize_core.errors import UserError
from colorize_core.inference.openvino_network import open_network
from colorize_core.models import build_model
from colorize_core.runtime.child_process import run_in_subprocess
from colorize_core.runtime.memory import retain_freed_memory
from colorize_core.runtime.precision import Precision, autocast

Mode = Literal["eager", "graph", "compile", "openvino"]
"""How a forward pass runs: eagerly, as a recorded CUDA graph, compiled by torch.compile, or by OpenVINO."""

_STEP_FLOPS = 3  # times those of a forward pass: the gradients of weights and of inputs each need as many
_CPU_MATRIX, _CUDA_MATRIX = 2048, 8192
_WARM_UP = 2
_log = logging.getLogger(__name__)


class Setting(NamedTuple):
    """What is measured."""

    model: str
    """Name in `models.build_model`."""
    size: int
    """Side of the square inputs in pixels."""
    batch: int
    precision: Precision
    mode: Mode
    """Mode of the forward pass and, except for graph and openvino, of the training step."""


@dataclass(frozen=True)
class Speed:
    """Speed of a model in one setting."""

    model: str
    work: str
    """forward or training step."""
    size: int
    batch: int
    precision: str
    mode: str
    milliseconds: float
    """Per batch."""
    images_per_second: float
    fraction_of_peak: float
    """Relative to the FLOP/s of a large matrix product on this device in this precision."""
    memory_bytes: int
    """Peak memory: of tensors on a GPU, otherwise of the process so far."""


def measure(setting: Setting, *, device: torch.device, repeats: int, peak: float) -> list[Speed]:
    """Measure a forward pass and, except with OpenVINO, a training step of an untrained model.

    This process retains all freed memory from then on.

    Args:
        setting: what is measured.
        device: to run on.
        repeats: timed calls, after two untimed ones.
        peak: FLOP/s of the device, from `matmul_peak`.
    """
    name, size, batch, precision, mode = setting
    torch.set_num_threads(available_cores())
    retain_freed_memory(everything=True)
    model = build_model(name).to(device).to(memory_format=torch.channels_last).eval()
    photographs = make_batch(size, batch, device)
    operations = flops(model, photographs.L[:1])
    context = autocast(precision, device)

    network = open_network(model, device, precision, "openvino") if mode == "openvino" else model
    if network is None:
        raise UserError(f"{name} cannot be run by OpenVINO in {precision}")

    @torch.inference_mode()
    def forward() -> Tensor:
        with context():
            result: Tensor = network(photographs.L)
        return result

    def speed(work: str, call: Callable[[], object], operations: float, mode: str) -> Speed:
        seconds, memory = _time(call, device, repeats)
        rate = batch / seconds
        return Speed(name, work, size, batch, precision, mode, seconds * 1000, rate, operations * rate / peak, memory)

    wrap: dict[str, Callable[..., Callable[[], object]]] = {"graph": _graphed, "compile": torch.compile}
    first = speed("forward", wrap[mode](forward) if mode in wrap else forward, operations, mode)
    if mode == "openvino":
        return [first]
    step = make_step(model, device, StepOptions(precision, compiled=mode == "compile"))
    step_mode = "eager" if mode == "graph" else mode
    return [first, speed("training step", lambda: step(photographs), _STEP_FLOPS * operations, step_mode)]


def _graphed(forward: Callable[[], Tensor]) -> Callable[[], None]:
    """Record a forward pass as a CUDA graph, which is replayed as a whole on the same memory."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            forward()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        forward()
    return graph.replay


def _timed_calls(call: Callable[[], object], device: torch.device, count: int) -> list[float]:
    """Return the seconds of each call, including the work that it starts on a GPU."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return times


def _time(call: Callable[[], object], device: torch.device, repeats: int) -> tuple[float, int]:
    """Return median seconds and peak memory in bytes."""
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    times = _timed_calls(call, device, _WARM_UP + repeats)
    # ru_maxrss is in KiB on Linux.
    memory = torch.cuda.max_memory_allocated(device) if cuda else 1024 * getrusage(RUSAGE_SELF).ru_maxrss
    return statistics.median(times[_WARM_UP:]), memory


def matmul_peak(device: torch.device, precision: Precision, repeats: int = 5) -> float:
    """Return the FLOP/s of a large matrix product, the fastest of several."""
    side = _CUDA_MATRIX if device.type == "cuda" else _CPU_MATRIX
    matrix = torch.rand(side, side, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    return 2 * side**3 / min(_timed_calls(lambda: matrix @ matrix, device, 1 + repeats)[1:])


def measure_all(settings: Sequence[Setting], repeats: int) -> tuple[list[Speed], dict[str, float]]:
    """Measure settings, each in a new process, on a GPU if there is one, else on all cores.

    Returns:
        One or two rows per setting, and the peak FLOP/s by precision.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(available_cores())
    peaks = {precision: matmul_peak(device, precision) for precision in {each.precision: None for each in settings}}
    rows = []
    for each in settings:
        measured = run_in_subprocess(measure, each, device=device, repeats=repeats, peak=peaks[each.precision])
        rows += measured
        rates = ", ".join(f"{speed.work} {speed.images_per_second:.0f} images/s" for speed in measured)
        _log.info("%s: %s", ", ".join(map(str, each)), rates)
    return rows, {str(precision): peak for precision, peak in peaks.items()}


def speed_table(rows: Sequence[Speed]) -> str:
    """Format as a Markdown table."""
    headings = ("model", "work", "px", "batch", "precision", "mode", "ms", "images/s", "% of peak", "memory, MB")
    cells = [(*astuple(row)[:8], row.fraction_of_peak * 100, row.memory_bytes / 1e6) for row in rows]
    return figure_table(headings, cells)
