"""Connecting to Ray: the cluster that was named, or one of this machine's own."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel

from cluster.errors import ClusterError

# A pipeline needs room for its readers, its actors and its writer at once. Logical CPUs, not threads: on a small
# machine they share the real ones, and with fewer the job would wait for itself.
_FEWEST_CPUS = 4


class RayOptions(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """Which Ray to use."""

    address: str | None = None
    """Address of a running cluster ("auto" or HOST:PORT); RAY_ADDRESS when empty, else a local Ray is started."""
    num_cpus: int | None = None
    """Logical CPUs of a local Ray; this machine's cores, at least 4, when empty. No effect on a cluster."""


@contextmanager
def ray_session(options: RayOptions, *, verbose: bool = False) -> Iterator[None]:
    """Connect to Ray for the duration of a block.

    Within another session this joins it, so that a job can run others.

    Args:
        options: where to connect.
        verbose: let Ray's own log through.

    Raises:
        ClusterError: the cluster does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    level = logging.INFO if verbose else logging.ERROR
    quiet = {"log_to_driver": verbose, "logging_level": level}
    address = options.address or os.environ.get("RAY_ADDRESS")
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            cpus = options.num_cpus or max(os.cpu_count() or 1, _FEWEST_CPUS)
            ray.init(num_cpus=cpus, include_dashboard=False, **quiet)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        where = address or "this machine"
        raise ClusterError(f"Ray at {where} cannot be reached ({str(error).splitlines()[0]})") from error
    try:
        _quiet_ray_data(verbose, level)
        yield
    finally:
        ray.shutdown()


def _quiet_ray_data(verbose: bool, level: int) -> None:
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = verbose
    context.print_on_execution_start = verbose
    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(level)
