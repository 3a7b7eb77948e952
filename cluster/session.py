"""Connection to Ray: a running cluster, or a Ray of this machine's own for the duration of a job."""

import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from cluster.errors import ClusterError
from cluster.ray_compat import any_agent_port, hide_worker_output, is_token_refused, worker_logging
from cluster.signals import sigterm_as_exception
from colorize_core.formatting import first_line

# A pipeline needs CPUs for its readers, its actors and its writer at the same time. These are logical CPUs, not
# threads: on a small machine they share the real ones, and with fewer of them the job would deadlock.
_MIN_CPUS = 4
_CONNECT_SECONDS = 10
_REFUSAL = (
    "rejects the token of this process, or the lack of one; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or "
    "RAY_AUTH_TOKEN_PATH to the cluster's token"
)
# Every pipeline on a small machine triggers the first; jobs report the consequences of the second themselves.
_RAY_ADVICE = ("worker processes have been started on node", "A worker died or was killed while executing a task")


class RayOptions(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """Ray cluster to use."""

    address: str | None = None
    """Address of a running cluster ("auto" or HOST:PORT); RAY_ADDRESS when empty, else a local Ray is started."""
    num_cpus: int | None = Field(None, ge=1)
    """Logical CPUs of a local Ray; this machine's cores, at least 4, when empty. No effect on a cluster."""


@contextmanager
def ray_session(
    options: RayOptions, *, verbose: bool = False, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Connect to Ray for the duration of a block.

    Within another session this joins it, so that a job can run others. Log records of workers go to their log files,
    and to stderr of this process with `verbose`.

    Args:
        options: cluster to connect to.
        verbose: show Ray's own log.
        environment: variables for this process and all processes of a Ray that is started here. With a runtime
            environment instead, Ray could not use the processes that it starts in advance.

    Raises:
        ClusterError: the cluster does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not verbose:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    if ray.is_initialized():
        yield
        return
    with ExitStack() as session:
        if not cluster_address(options):
            session.enter_context(environment_variables(environment or {}))
        _connect(options, verbose=verbose)
        session.callback(_disconnect, verbose=verbose)
        _set_ray_output(verbose)
        session.enter_context(sigterm_as_exception())  # Ray has set a handler that exits at once
        yield


@contextmanager
def environment_variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the duration of a block; those that are set already keep their values."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _connect(options: RayOptions, *, verbose: bool) -> None:
    """Connect to the cluster, or start a local Ray; raises ClusterError."""
    import ray
    from ray.exceptions import AuthenticationError

    address = cluster_address(options)
    settings: dict[str, Any] = {
        "job_config": worker_logging(),
        "log_to_driver": verbose,
        "logging_level": logging.INFO if verbose else logging.ERROR,
    }
    with ExitStack() as around:
        if address:
            require_listener(address)
            settings["address"] = address
        else:
            # "local", or Ray would join any cluster that was started on this machine.
            settings |= {"address": "local", "include_dashboard": False}
            settings["num_cpus"] = options.num_cpus or max(os.cpu_count() or 1, _MIN_CPUS)
            around.enter_context(any_agent_port())
        if not verbose:
            around.enter_context(_muted_stderr())
        try:
            ray.init(**settings)
        except (AuthenticationError, ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            fault = error
        else:
            return
    where = address or "this machine"
    with _muted_stderr():
        is_refused = isinstance(fault, AuthenticationError) or (address and is_token_refused(address))
    if is_refused:
        raise ClusterError(f"Ray at {where} {_REFUSAL}") from fault
    raise ClusterError(f"Ray at {where} cannot be reached ({first_line(fault)})") from fault


def _disconnect(*, verbose: bool) -> None:
    """End the connection, and a local Ray; Ray's core says on stderr which tasks it gives up."""
    import ray

    with nullcontext() if verbose else _muted_stderr():
        ray.shutdown()


def cluster_address(options: RayOptions) -> str | None:
    """Return the address of the cluster to connect to; None if Ray would be started on this machine."""
    return options.address or os.environ.get("RAY_ADDRESS") or None


def local_cores(options: RayOptions) -> int | None:
    """Return the number of CPU cores of this machine if Ray would be started on it; None if a cluster is configured."""
    return None if cluster_address(options) else os.cpu_count() or 1


def is_listening(address: str) -> bool:
    """Return True if something listens at HOST:PORT."""
    try:
        require_listener(address)
    except ClusterError:
        return False
    return True


def require_listener(address: str) -> None:
    """Raise ClusterError if nothing listens at HOST:PORT or a URL; Ray itself would try for many minutes."""
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        port = None
    if not port or not parts.hostname:
        return
    try:
        socket.create_connection((parts.hostname, port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise ClusterError(f"Ray at {address} cannot be reached ({error.strerror or error})") from error


@contextmanager
def _muted_stderr() -> Iterator[None]:
    """Drop what is written to file descriptor 2: Ray's C++ part announces its log level there, not through Python."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _set_ray_output(verbose: bool) -> None:
    """Show or hide Ray's log, progress bars and advice on the terminal."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = verbose
    context.print_on_execution_start = verbose
    context.raise_original_map_exception = True  # Ray's wrapper loses the original exception on the way to the driver
    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.CRITICAL)
    if not verbose:
        hide_worker_output(_RAY_ADVICE)
