"""The models by themselves: forward passes and training steps by size, batch and precision."""

import itertools
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from colorize_core.benchmark.baselines.training import Levers, make_batch, make_step
from colorize_core.benchmark.machine import cores
from colorize_core.benchmark.model_facts import flops
from colorize_core.benchmark.process_usage import Watch
from colorize_core.benchmark.tables import markdown_table
from colorize_core.models import build_model
from colorize_core.runtime.child_process import run_in_subprocess
from colorize_core.runtime.memory import retain_freed_memory
from colorize_core.runtime.precision import Precision, autocast

Mode = Literal["eager", "graph", "compile"]
"""How a forward pass is run: operation by operation; recorded once as a CUDA graph; compiled by torch.compile."""

_STEP_FLOPS = 3  # of a forward pass: the gradients of weights and of inputs take as many operations each
_CPU_MATRIX, _CUDA_MATRIX = 2048, 8192
_LOOKS = 0.02  # seconds between looks at the memory


@dataclass(frozen=True)
class Speed:
    """How fast a model is at something."""

    model: str
    work: str
    """forward or training step."""
    size: int
    """Side of the squares."""
    batch: int
    precision: str
    mode: str
    milliseconds: float
    """For a batch."""
    images_per_second: float
    fraction_of_peak: float
    """Of the operations per second of a large matrix product on this device, in this precision."""
    memory_bytes: int
    """The most that was held: on a GPU by tensors, else by this process."""


def measure(
    name: str,
    *,
    size: int,
    batch: int,
    precision: Precision,
    mode: Mode,
    device: torch.device,
    repeats: int,
    peak: float,
) -> list[Speed]:
    """A forward pass and a training step of an untrained model; this process keeps the memory it frees from then on.

    Args:
        name: of `models.build_model`.
        size: side of the squares.
        batch: photographs.
        precision: of the arithmetic.
        mode: of the forward pass and, but for graph, of the training step.
        device: to run on.
        repeats: that are timed, after two that are not.
        peak: operations per second of the device, of `matmul_peak`.
    """
    torch.set_num_threads(cores())
    retain_freed_memory(everything=True)
    model = build_model(name).to(device).to(memory_format=torch.channels_last).eval()
    photographs = make_batch(size, batch, device)
    operations = flops(model, photographs.L[:1])
    context = autocast(precision, device)

    @torch.inference_mode()
    def forward() -> Tensor:
        with context():
            return model(photographs.L)

    def row(work: str, run: Callable[[], object], operations: float, used: str) -> Speed:
        seconds, memory = _time(run, device, repeats)
        pace = batch / seconds
        return Speed(name, work, size, batch, precision, used, seconds * 1000, pace, operations * pace / peak, memory)

    run: Callable[[], object] = forward
    if mode == "graph":
        run = _graphed(forward)
    elif mode == "compile":
        run = torch.compile(forward)
    rows = [row("forward", run, operations, mode)]
    step = make_step(model, device, Levers(precision, compiled=mode == "compile"))
    used = "eager" if mode == "graph" else mode
    rows.append(row("training step", lambda: step(photographs), _STEP_FLOPS * operations, used))
    return rows


def _graphed(forward: Callable[[], Tensor]) -> Callable[[], None]:
    """A pass recorded as a CUDA graph: replayed in one go, on the same memory."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            forward()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        forward()
    return graph.replay


def _time(run: Callable[[], object], device: torch.device, repeats: int) -> tuple[float, int]:
    """Median seconds, and bytes of memory at most."""
    cuda = device.type == "cuda"
    times = []
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    with Watch(os.getpid(), _LOOKS) as watch:
        for _ in range(2 + repeats):
            start = time.perf_counter()
            run()
            if cuda:
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - start)
    memory = torch.cuda.max_memory_allocated(device) if cuda else watch.peak_root_memory
    return statistics.median(times[2:]), memory


def matmul_peak(device: torch.device, precision: Precision, repeats: int = 5) -> float:
    """Operations per second of a large matrix product, the fastest of several."""
    side = _CUDA_MATRIX if device.type == "cuda" else _CPU_MATRIX
    matrix = torch.rand(side, side, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    times = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        _ = matrix @ matrix
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return 2 * side**3 / min(times[1:])


def measure_all(
    models: Sequence[str],
    sizes: Sequence[int],
    batches: Sequence[int],
    precisions: Sequence[Precision],
    modes: Sequence[Mode],
    *,
    repeats: int,
    say: Callable[[str], None] = print,
) -> tuple[list[Speed], dict[str, float]]:
    """Every combination, on a GPU where there is one, else on all cores; and the peak by precision, in FLOP/s."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(cores())
    peaks = {precision: matmul_peak(device, precision) for precision in precisions}
    rows = []
    for name, size, batch, precision, mode in itertools.product(models, sizes, batches, precisions, modes):
        forward, step = run_in_subprocess(
            measure,
            name,
            size=size,
            batch=batch,
            precision=precision,
            mode=mode,
            device=device,
            repeats=repeats,
            peak=peaks[precision],
        )
        rows += [forward, step]
        paces = f"{forward.images_per_second:.0f} images/s forward, {step.images_per_second:.0f} in training"
        say(f"{name}, {size} px, batch {batch}, {precision}, {mode}: {paces}")
    return rows, {str(precision): peak for precision, peak in peaks.items()}


def speed_table(rows: Sequence[Speed]) -> str:
    """Markdown."""
    header = ("model", "work", "px", "batch", "precision", "mode", "ms", "images/s", "% of peak", "memory, MB")
    return markdown_table(
        header,
        [
            (
                row.model,
                row.work,
                row.size,
                row.batch,
                row.precision,
                row.mode,
                row.milliseconds,
                row.images_per_second,
                row.fraction_of_peak * 100,
                row.memory_bytes / 1e6,
            )
            for row in rows
        ],
    )
