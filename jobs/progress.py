"""Counting done work across a cluster."""

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


class _Counter:
    def __init__(self) -> None:
        self.count = 0

    def add(self, number: int) -> None:
        self.count += number

    def get(self) -> int:
        return self.count


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
