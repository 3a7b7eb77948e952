"""How training goes, for Prometheus."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from torch import Tensor

from jobs.run import prometheus as metrics
from jobs.train.outputs.writer import SCORES

_SECONDS = 10.0  # Ray collects no more often, and to read a loss is to wait for the GPU

Group = TypeVar("Group", bound=Sequence[tuple[Sequence[str], Any, Any]])


class TrainMeter:
    """Times the steps of a rank and publishes its losses."""

    def __init__(self, run: str, *, is_rank_zero: bool) -> None:
        """Measure a rank of `run`; losses and scores are those of the one that is_rank_zero."""
        self._run, self._leads = run, is_rank_zero
        self._told = time.monotonic()
        self._steps, self._waited = 0, 0.0

    @property
    def data_wait_ms(self) -> float:
        """Mean time that a step of this rank waited for its batches, since the epoch began or was resumed."""
        return self._waited / max(self._steps, 1) * 1000

    def steps(self, groups: Iterator[Group]) -> Iterator[Group]:
        """Pass on the batches of each step: ids, L and ab. What is done with them until the next counts as learning."""
        self._steps, self._waited = 0, 0.0
        while True:
            asked = time.monotonic()
            group = next(groups, None)
            if group is None:
                return
            given = time.monotonic()
            self._steps, self._waited = self._steps + 1, self._waited + given - asked
            try:
                yield group
            finally:
                now = time.monotonic()
                metrics.STEP_SECONDS.record(self._run, now - asked)
                metrics.TRAIN_SECONDS.record(self._run, given - asked, "data")
                metrics.TRAIN_SECONDS.record(self._run, now - given, "learning")
                metrics.TRAIN_IMAGES.record(self._run, sum(len(ids) for ids, _, _ in group))

    def losses(self, step: int, sums: Mapping[str, Tensor]) -> None:
        """Publish the means of losses in this epoch, from their sums and the number of `batches`, now and then."""
        if not self._leads or time.monotonic() - self._told < _SECONDS:
            return
        self._told = time.monotonic()
        metrics.STEP.record(self._run, step)
        values = {name: value.item() for name, value in sums.items()}
        batches = values.pop("batches")
        for name, value in values.items():
            metrics.LOSS.record(self._run, value / batches, name)

    def epoch(self, row: Mapping[str, float], losses: Mapping[str, float]) -> None:
        """Publish an epoch's row of metrics.csv."""
        if not self._leads:
            return
        metrics.EPOCH.record(self._run, row["epoch"])
        metrics.STEP.record(self._run, 0)
        metrics.LEARNING_RATE.record(self._run, row["learning_rate"])
        for name, value in losses.items():
            metrics.LOSS.record(self._run, value, name)
        for name, *_ in SCORES:
            for score in (name, f"gray_{name}"):
                if score in row:
                    metrics.SCORE.record(self._run, row[score], score)
