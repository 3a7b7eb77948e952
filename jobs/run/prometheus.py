"""What jobs tell Prometheus, through Ray's endpoint on every node.

Ray writes `ray_` before every name and `_total` behind those of counters, and adds the labels NodeAddress and WorkerId.
What a worker has counted leaves it every ten seconds and when it ends; nobody need listen.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

_PHOTOGRAPH_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_STEP_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True)
class Metric:
    """One of them; every series has the label `run`, the output of the job."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    meaning: str
    label: str = ""
    """Another label."""
    bounds: tuple[float, ...] = ()
    """Upper ends of a histogram's buckets. Ray makes its sum up from the middles of buckets: totals need counters."""

    @property
    def exported(self) -> tuple[str, ...]:
        """The names that Prometheus sees."""
        if self.kind == "histogram":
            return tuple(f"ray_{self.name}_{part}" for part in ("bucket", "count", "sum"))
        return (f"ray_{self.name}{'_total' if self.kind == 'counter' else ''}",)

    def record(self, run: str, value: float, label: str = "") -> None:
        """Count a value of a counter, set a gauge to it, or put it into a histogram; takes 3 µs, and waits for nothing.

        Args:
            run: URI of the job's output.
            value: of a counter, what to add; nothing for 0.
            label: the value of `self.label`, where there is one.
        """
        labels = {"run": run} | ({self.label: label} if self.label else {})
        if self.kind == "histogram":
            _instrument(self).observe(value, labels)
        elif self.kind == "gauge":
            _instrument(self).set(value, labels)
        elif value > 0:
            _instrument(self).inc(value, labels)


@functools.cache
def _instrument(metric: Metric) -> Any:
    """Ray's object of this process."""
    from ray.util import metrics

    labels = ("run", metric.label) if metric.label else ("run",)
    if metric.kind == "histogram":
        return metrics.Histogram(metric.name, metric.meaning, list(metric.bounds), labels)
    kind = metrics.Gauge if metric.kind == "gauge" else metrics.Counter
    return kind(metric.name, metric.meaning, labels)


IMAGES = Metric("counter", "colorize_archive_images", "Photographs by what became of them.", "status")
INPUT_BYTES = Metric("counter", "colorize_archive_input_bytes", "Bytes read from the source.")
OUTPUT_BYTES = Metric("counter", "colorize_archive_output_bytes", "Bytes of pictures written.")
CORE_SECONDS = Metric("counter", "colorize_archive_core_seconds", "Seconds of cores by stage.", "stage")
STAGE_SECONDS = Metric(
    "histogram",
    "colorize_archive_stage_seconds",
    "Seconds of a core that a stage takes for a photograph, each the mean of a batch.",
    "stage",
    _PHOTOGRAPH_SECONDS,
)
RETRIES = Metric("counter", "colorize_archive_storage_retries", "Requests to S3 that were made again.")

TRAIN_IMAGES = Metric("counter", "colorize_train_images", "Photographs that workers learned from.")
TRAIN_SECONDS = Metric(
    "counter", "colorize_train_seconds", "Seconds of workers: waiting for data, and learning.", "part"
)
STEP_SECONDS = Metric(
    "histogram", "colorize_train_step_seconds", "Seconds from step to step of a worker.", bounds=_STEP_SECONDS
)
EPOCH = Metric("gauge", "colorize_train_epoch", "Finished epochs.")
STEP = Metric("gauge", "colorize_train_step", "Finished steps of the epoch at work.")
LOSS = Metric("gauge", "colorize_train_loss", "Mean losses of the leading worker in this epoch so far.", "loss")
SCORE = Metric("gauge", "colorize_train_score", "Validation scores of the last epoch.", "score")
LEARNING_RATE = Metric("gauge", "colorize_train_learning_rate", "At the end of the last epoch.")

METRICS = (
    IMAGES,
    INPUT_BYTES,
    OUTPUT_BYTES,
    CORE_SECONDS,
    STAGE_SECONDS,
    RETRIES,
    TRAIN_IMAGES,
    TRAIN_SECONDS,
    STEP_SECONDS,
    EPOCH,
    STEP,
    LOSS,
    SCORE,
    LEARNING_RATE,
)


def record_stages(run: str, seconds: Mapping[str, float], photographs: int) -> None:
    """Record what a batch took by stage (`colorize_core.runtime.stage_timer`)."""
    for stage, spent in seconds.items():
        CORE_SECONDS.record(run, spent, stage)
        STAGE_SECONDS.record(run, spent / max(photographs, 1), stage)
