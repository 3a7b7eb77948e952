"""Counting done work across a cluster, and showing it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.errors import ClusterError
from colorize_core.runtime.stage_timer import add_stages
from jobs.command.console import ProgressLine

if TYPE_CHECKING:
    from ray.data import Dataset


class _Counter:
    def __init__(self) -> None:
        self.count = 0
        self.seconds: dict[str, float] = {}

    def add(self, number: int) -> None:
        self.count += number

    def get(self) -> int:
        return self.count

    def spend(self, seconds: Mapping[str, float]) -> None:
        self.seconds = add_stages([self.seconds, seconds])

    def get_seconds(self) -> dict[str, float]:
        return self.seconds


class Progress:
    """A counter that stages of a pipeline add to and the driver reads; for people, not for records.

    A batch that is run again after a failure counts again.
    """

    def __init__(self) -> None:
        """Start the counter's actor, beside the driver: a node that is lost must not take the count with it."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self._actor = ray.remote(num_cpus=0, scheduling_strategy=here)(_Counter).remote()

    def add(self, number: int) -> None:
        """Add without waiting."""
        self._actor.add.remote(number)

    def done(self) -> int:
        """The count so far."""
        return ray.get(self._actor.get.remote())

    def spend(self, seconds: Mapping[str, float]) -> None:
        """Add seconds by stage (`colorize_core.runtime.stage_timer`) without waiting."""
        self._actor.spend.remote(seconds)

    def seconds(self) -> dict[str, float]:
        """Seconds by stage so far, of all workers together."""
        return ray.get(self._actor.get_seconds.remote())

    @contextmanager
    def follow(
        self, pipeline: "Dataset", what: str, total: int, stall_seconds: int, afterward: str
    ) -> Iterator[ProgressLine]:
        """Show a live line while a block consumes a pipeline whose stages add to this; the counter ends with it.

        Args:
            pipeline: not yet begun.
            what: is done to photographs, such as "scored".
            total: how many there are.
            stall_seconds: give up when nothing has moved for so long.
            afterward: what to say is to be done then.

        Raises:
            ClusterError: nothing has moved for `stall_seconds`.
        """
        from ray.data.exceptions import ExecutionTimeoutError  # here: the counter's process has no need of ray.data

        pipeline.context.execution_no_progress_timeout_s = stall_seconds
        try:
            with ProgressLine(what, total, self.done) as line:
                yield line
        except ExecutionTimeoutError as error:
            raise ClusterError(
                f"nothing has moved for {stall_seconds} s (stall_seconds); {self.done()} of {total} photographs were "
                f"{what}, and {afterward}"
            ) from error
        finally:
            ray.kill(self._actor)  # stages hold on to it, and it would stay
