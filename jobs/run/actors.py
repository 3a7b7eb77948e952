"""Actors that hold a model: their configuration, and how many of them fit on a cluster."""

import logging
import math
from typing import Literal

from pydantic import Field, field_validator

from cluster.config.loading import Section
from cluster.session import RayOptions, local_cores
from colorize_core.errors import UserError
from colorize_core.formatting import counted
from jobs.run.requirements import ResourceRequest

_log = logging.getLogger(__name__)


class ActorsOptions(Section):
    """Processes that hold the models."""

    count: int | Literal["auto"] = "auto"
    """Number of actors; auto starts one per GPU (or per fraction of a GPU) if gpus is set, else one per free CPU."""
    gpus: float = Field(0, ge=0)
    """GPUs per actor; 0 computes on the CPU, and a fraction shares a GPU between actors."""
    cpus: float = Field(1, gt=0)
    """Logical CPUs per actor, which is also its number of threads. The sum over all actors must stay below the CPUs of
    the cluster, because reading and writing need some too."""

    def processes(self, reserved: float) -> ResourceRequest:
        """Return the processes that must run at the same time (one if the count is auto), with the `reserved` CPUs."""
        count = 1 if self.count == "auto" else self.count
        return ResourceRequest("actors", count, self.cpus, self.gpus, reserved)

    @field_validator("count")
    @classmethod
    def _require_positive(cls, count: int | str) -> int | str:
        if isinstance(count, int) and count < 1:
            raise ValueError("must be auto or at least 1")
        return count


def count_actors(actors: ActorsOptions, options: RayOptions, *, reserved: float, batches: int) -> int:
    """Return the number of actors to start on the connected cluster.

    On a named cluster an explicit number is used even if it does not fit at the moment: an autoscaler adds nodes
    because actors are pending.

    Args:
        actors: requested actors.
        options: how Ray was started.
        reserved: CPUs that the rest of the pipeline needs.
        batches: number of batches, an upper bound for the number of actors.

    Raises:
        UserError: the actors would leave no CPU for the rest of the pipeline, which would then deadlock.
    """
    import ray

    resources = ray.cluster_resources()
    cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    fit_cpus = math.floor((cpus - reserved) / actors.cpus)
    fit_gpus = math.floor(gpus / actors.gpus + 1e-6) if actors.gpus else fit_cpus
    if actors.count == "auto":
        # On a small machine Ray is started with more logical CPUs than there are cores.
        fit_cores = max(math.floor((local_cores(options) or cpus) / actors.cpus), 1)
        count = max(min(fit_cpus, fit_gpus, fit_cores), 1)
    else:
        count = actors.count
    count = min(count, max(batches, 1))
    if actors.count != "auto" and count > (room := max(min(fit_cpus, fit_gpus), 0)) and local_cores(options) is None:
        _log.warning("%d of %d actors fit on the cluster now; the others wait until it grows", room, count)
        return count
    if actors.gpus * count > gpus:
        raise UserError(
            f"actors: {counted(count, 'actor')} x {actors.gpus:g} GPUs exceed the {gpus:g} GPUs of the cluster; lower "
            "actors.count or actors.gpus"
        )
    if count > fit_cpus:
        raise UserError(
            f"actors: {counted(count, 'actor')} x {actors.cpus:g} CPUs leave too few of the cluster's {cpus:g} CPUs; "
            f"{reserved:g} must remain for reading and writing; lower actors.count or actors.cpus"
        )
    return count
