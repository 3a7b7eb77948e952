"""Prometheus metrics of a training run."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from torch import Tensor

from jobs.run import prometheus
from jobs.train.outputs.metrics_file import SCORES

_LOSS_SECONDS = 10.0  # Ray does not collect more often, and reading a loss waits for the GPU

Group = TypeVar("Group", bound=Sequence[tuple[Sequence[str], Any, Any]])


class TrainMeter:
    """Times the steps of a rank and publishes its losses."""

    def __init__(self, run: str, *, is_rank_zero: bool, loss_seconds: float = _LOSS_SECONDS) -> None:
        """Measure a rank of `run`; only rank 0 publishes losses and scores, losses every `loss_seconds`."""
        self._run, self._is_rank_zero, self._loss_seconds = run, is_rank_zero, loss_seconds
        self._published = time.monotonic()
        self._steps, self._waited = 0, 0.0

    @property
    def data_wait_ms(self) -> float:
        """Mean time in ms that a step of this rank waited for its batches, since the epoch began or was resumed."""
        return self._waited / max(self._steps, 1) * 1000

    def steps(self, groups: Iterator[Group]) -> Iterator[Group]:
        """Pass on the batches (ids, L, ab) of each step; the time until the next request counts as learning."""
        self._steps, self._waited = 0, 0.0
        while True:
            requested = time.monotonic()
            group = next(groups, None)
            if group is None:
                return
            received = time.monotonic()
            self._steps, self._waited = self._steps + 1, self._waited + received - requested
            try:
                yield group
            finally:
                now = time.monotonic()
                prometheus.STEP_SECONDS.record(self._run, now - requested)
                prometheus.TRAIN_SECONDS.record(self._run, received - requested, "data")
                prometheus.TRAIN_SECONDS.record(self._run, now - received, "learning")
                prometheus.TRAIN_IMAGES.record(self._run, sum(len(ids) for ids, _, _ in group))

    def losses(self, step: int, sums: Mapping[str, Tensor]) -> None:
        """Publish the mean losses of this epoch from their sums and the number of `batches`, at intervals."""
        if not self._is_rank_zero or time.monotonic() - self._published < self._loss_seconds:
            return
        self._published = time.monotonic()
        prometheus.STEP.record(self._run, step)
        values = {name: value.item() for name, value in sums.items()}
        batches = values.pop("batches")
        for name, value in values.items():
            prometheus.LOSS.record(self._run, value / batches, name)

    def epoch(self, row: Mapping[str, float], losses: Mapping[str, float]) -> None:
        """Publish a row of metrics.csv."""
        if not self._is_rank_zero:
            return
        prometheus.EPOCH.record(self._run, row["epoch"])
        prometheus.STEP.record(self._run, 0)
        prometheus.LEARNING_RATE.record(self._run, row["learning_rate"])
        for name, value in losses.items():
            prometheus.LOSS.record(self._run, value, name)
        for metric in SCORES:
            for name in (metric.name, f"gray_{metric.name}"):
                if name in row:
                    prometheus.SCORE.record(self._run, row[name], name)
