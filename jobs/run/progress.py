"""Progress of a pipeline: a counter for the whole cluster and its live line."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.errors import ClusterError
from colorize_core.runtime.stage_timer import add_stages

if TYPE_CHECKING:
    from ray.data import Dataset

    from jobs.command.console import ProgressLine


class _CounterActor:
    def __init__(self) -> None:
        self._count = 0
        self._started: float | None = None
        self._seconds: dict[str, float] = {}

    def start(self) -> None:
        self._started = self._started or time.time()

    def add(self, number: int) -> None:
        self._count += number

    def progress(self) -> tuple[int, float | None]:
        return self._count, self._started

    def add_seconds(self, seconds: Mapping[str, float]) -> None:
        self._seconds = add_stages([self._seconds, seconds])

    def seconds(self) -> dict[str, float]:
        return self._seconds


class ClusterCounter:
    """Counter that the workers of a pipeline increment and the driver reads; for display, not for records.

    A batch that is repeated after a failure is counted again.
    """

    def __init__(self) -> None:
        """Start the counter's actor on the driver's node, so that the loss of another node does not lose the count."""
        driver_node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self._actor = ray.remote(num_cpus=0, scheduling_strategy=driver_node)(_CounterActor).remote()

    def start(self) -> None:
        """Tell that a worker begins with its first photographs, without waiting; what came before is start-up."""
        self._actor.start.remote()

    def add(self, number: int) -> None:
        """Add to the count without waiting."""
        self._actor.add.remote(number)

    def progress(self) -> tuple[int, float | None]:
        """Return the current count, and the time of the first `start`, in seconds since the epoch."""
        return ray.get(self._actor.progress.remote())

    def add_seconds(self, seconds: Mapping[str, float]) -> None:
        """Add seconds by stage (`colorize_core.runtime.stage_timer`) without waiting."""
        self._actor.add_seconds.remote(seconds)

    def seconds(self) -> dict[str, float]:
        """Return the seconds by stage so far, summed over all workers."""
        return ray.get(self._actor.seconds.remote())

    @contextmanager
    def follow(
        self, pipeline: "Dataset", what: str, total: int, stall_seconds: int, advice: str, starting: str = "starting"
    ) -> "Iterator[ProgressLine]":
        """Show a live line while the block consumes a pipeline whose workers add to this counter; stop it after.

        Args:
            pipeline: the pipeline, not started yet.
            what: past participle of what is done to photographs, such as "scored".
            total: number of photographs.
            stall_seconds: seconds without progress after which the pipeline is stopped.
            advice: what the user can do after that, as the end of a sentence.
            starting: what the line says before the first count.

        Raises:
            ClusterError: there was no progress for `stall_seconds`.
        """
        # Workers and the counter's process import this module too, and need neither of these.
        from ray.data.exceptions import ExecutionTimeoutError

        from jobs.command.console import ProgressLine

        pipeline.context.execution_no_progress_timeout_s = stall_seconds
        pipeline.context.raise_original_map_exception = True  # a UserError of a worker stays one
        try:
            with ProgressLine(what, total, self.progress, starting) as line:
                yield line
        except ExecutionTimeoutError as error:
            raise ClusterError(
                f"no progress for {stall_seconds} s (stall_seconds); {self.progress()[0]} of {total} photographs were "
                f"{what}; {advice}"
            ) from error
        finally:
            ray.kill(self._actor)  # the workers hold references that would keep it alive
