"""Prometheus metrics of jobs, exported through Ray's endpoint on every node.

Ray prefixes each name with `ray_`, appends `_total` to the names of counters, and adds the labels NodeAddress and
WorkerId. A worker exports its values every ten seconds and when it ends; nothing waits for a scraper.
"""

import functools
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

_PHOTOGRAPH_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_REFRESH_SECONDS = 8.0  # Ray drops a gauge that was not set for 20 s, and keeps counters as long as the node is up
_STEP_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True)
class Metric:
    """A Prometheus metric. Every series is labeled `run=<output URI>`, percent-encoded where it is not ASCII."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    meaning: str
    label: str = ""
    """Name of a second label; empty for none."""
    bounds: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets. Ray estimates the sum from the middles of buckets: exact totals need a
    counter."""

    @property
    def exported(self) -> tuple[str, ...]:
        """Names of the series in Prometheus."""
        if self.kind == "histogram":
            return tuple(f"ray_{self.name}_{part}" for part in ("bucket", "count", "sum"))
        return (f"ray_{self.name}{'_total' if self.kind == 'counter' else ''}",)

    def record(self, run: str, value: float, label: str = "") -> None:
        """Add a value to a counter or a histogram, or set a gauge to it. Takes 3 µs and does not block.

        Args:
            run: URI of the job's output.
            value: the value; 0 does not change a counter.
            label: value of the second label, if the metric has one.
        """
        labels = {"run": _ascii(run)} | ({self.label: label} if self.label else {})
        if self.kind == "histogram":
            _instrument(self).observe(value, labels)
        elif self.kind == "gauge":
            _instrument(self).set(value, labels)
        elif value > 0:
            _instrument(self).inc(value, labels)


def _ascii(run: str) -> str:
    """Percent-encode what is not ASCII in a URI: Ray ends the process over it (C++ metrics take ASCII tags only)."""
    return "".join(character if character.isascii() else quote(character) for character in run)


@functools.cache
def _instrument(metric: Metric) -> Any:
    """Return Ray's object for a metric, one per process."""
    from ray.util import metrics

    labels = ("run", metric.label) if metric.label else ("run",)
    if metric.kind == "histogram":
        return metrics.Histogram(metric.name, metric.meaning, list(metric.bounds), labels)
    kind = metrics.Gauge if metric.kind == "gauge" else metrics.Counter
    return kind(metric.name, metric.meaning, labels)


RUNNING = Metric("gauge", "colorize_run_active", "1 while the driver of a run is at work.")

IMAGES = Metric("counter", "colorize_archive_images", "Photographs by status.", "status")
INPUT_BYTES = Metric("counter", "colorize_archive_input_bytes", "Bytes read from the source.")
OUTPUT_BYTES = Metric("counter", "colorize_archive_output_bytes", "Bytes of color images written.")
CORE_SECONDS = Metric("counter", "colorize_archive_core_seconds", "Core seconds by stage.", "stage")
STAGE_SECONDS = Metric(
    "histogram",
    "colorize_archive_stage_seconds",
    "Core seconds of a stage per photograph, the mean of each batch.",
    "stage",
    _PHOTOGRAPH_SECONDS,
)
RETRIES = Metric("counter", "colorize_archive_storage_retries", "Repeated requests to object storage.")

TRAIN_IMAGES = Metric("counter", "colorize_train_images", "Photographs that workers were trained on.")
TRAIN_SECONDS = Metric(
    "counter", "colorize_train_seconds", "Seconds of workers: waiting for data, and training steps.", "part"
)
STEP_SECONDS = Metric(
    "histogram", "colorize_train_step_seconds", "Seconds per optimizer step of a worker.", bounds=_STEP_SECONDS
)
EPOCH = Metric("gauge", "colorize_train_epoch", "Completed epochs.")
STEP = Metric("gauge", "colorize_train_step", "Completed optimizer steps of the current epoch.")
LOSS = Metric("gauge", "colorize_train_loss", "Mean losses of rank 0 in the current epoch.", "loss")
SCORE = Metric("gauge", "colorize_train_score", "Validation scores of the last completed epoch.", "score")
LEARNING_RATE = Metric("gauge", "colorize_train_learning_rate", "Learning rate at the end of the last completed epoch.")

METRICS = tuple(value for value in globals().values() if isinstance(value, Metric))


@contextmanager
def active(run: str) -> Iterator[None]:
    """Report a run as active for the duration of a block: without it, one that stands still looks like one that ended.

    Args:
        run: URI of the run's output.
    """
    ended = threading.Event()

    def report() -> None:
        while True:
            RUNNING.record(run, 1)
            if ended.wait(_REFRESH_SECONDS):
                return

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def record_stages(run: str, seconds: Mapping[str, float], photographs: int) -> None:
    """Record the seconds of a batch by stage (`colorize_core.runtime.stage_timer`)."""
    for stage, spent in seconds.items():
        CORE_SECONDS.record(run, spent, stage)
        STAGE_SECONDS.record(run, spent / max(photographs, 1), stage)
