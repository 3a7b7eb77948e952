"""The processes that hold a model: how many of them a cluster has room for."""

import math
from typing import Literal

from pydantic import Field, field_validator

from cluster.config.loading import Section
from cluster.session import RayOptions, local_cores
from colorize_core.errors import UserError
from jobs.command.console import say
from jobs.run.requirements import ResourceRequest


class ActorsOptions(Section):
    """The processes that hold the models."""

    count: int | Literal["auto"] = "auto"
    """How many; auto is one for each GPU (or share of one) where gpus is given, else one for each CPU that is free."""
    gpus: float = Field(0, ge=0)
    """GPUs each; 0 works on the CPU, fractions share one."""
    cpus: float = Field(1, gt=0)
    """Logical CPUs each, which are also their threads. Their sum must stay below the cluster's: reading and writing
    need some too."""

    def processes(self, reserved: float) -> ResourceRequest:
        """What must run at the same time, with the CPUs that the rest of the pipeline needs; of auto, one."""
        count = 1 if self.count == "auto" else self.count
        return ResourceRequest("actors", count, self.cpus, self.gpus, reserved)

    @field_validator("count")
    @classmethod
    def _positive(cls, count: int | str) -> int | str:
        if isinstance(count, int) and count < 1:
            raise ValueError("must be auto or at least 1")
        return count


def count_actors(actors: ActorsOptions, options: RayOptions, *, reserved: float, batches: int) -> int:
    """How many actors to start on the cluster at hand.

    Args:
        actors: what was asked for.
        options: how Ray was started.
        reserved: CPUs that the rest of the pipeline needs.
        batches: there is no work for more actors than these.

    On a named cluster a number that was asked for is taken though there is no room for it yet: an autoscaler adds
    machines because actors wait for them.

    Raises:
        UserError: they would leave nothing of the cluster for the rest, and the run would wait for itself.
    """
    import ray

    there = ray.cluster_resources()
    cpus, gpus = there.get("CPU", 0.0), there.get("GPU", 0.0)
    fit = math.floor((cpus - reserved) / actors.cpus)
    by_gpu = math.floor(gpus / actors.gpus + 1e-6) if actors.gpus else fit
    if actors.count == "auto":
        # Ray on one machine is given more logical CPUs than a small one has cores.
        by_core = max(math.floor((local_cores(options) or cpus) / actors.cpus), 1)
        wanted = max(min(fit, by_gpu, by_core), 1)
    else:
        wanted = actors.count
    wanted = min(wanted, max(batches, 1))
    if actors.count != "auto" and wanted > (room := max(min(fit, by_gpu), 0)) and local_cores(options) is None:
        say(f"actors: the cluster has room for {room} of {wanted} now; the others wait for it to grow")
        return wanted
    if actors.gpus * wanted > gpus:
        raise UserError(f"actors: {wanted} with {actors.gpus:g} GPUs each need more than the cluster's {gpus:g} GPUs")
    if wanted > fit:
        raise UserError(
            f"actors: {wanted} with {actors.cpus:g} CPUs each leave nothing of the cluster's {cpus:g} CPUs for "
            "reading and writing; lower actors.count or actors.cpus"
        )
    return wanted
