"""Connecting to Ray: the cluster that was named, or one of this machine's own."""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from cluster.errors import ClusterError
from cluster.ray_compat import hide_worker_output, is_token_refused

# A pipeline needs room for its readers, its actors and its writer at once. Logical CPUs, not threads: on a small
# machine they share the real ones, and with fewer the job would wait for itself.
_FEWEST_CPUS = 4
_CONNECT_SECONDS = 10
_REFUSAL = (
    "asks for a token, and this process has none or another one; give it the cluster's by RAY_AUTH_TOKEN or "
    "RAY_AUTH_TOKEN_PATH, and RAY_AUTH_MODE=token"
)
_ADVICE = ("worker processes have been started on node", "A worker died or was killed while executing a task")


class RayOptions(BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """Which Ray to use."""

    address: str | None = None
    """Address of a running cluster ("auto" or HOST:PORT); RAY_ADDRESS when empty, else a local Ray is started."""
    num_cpus: int | None = Field(None, ge=1)
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
    if not verbose:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray
    from ray.exceptions import AuthenticationError

    if ray.is_initialized():
        yield
        return
    settings: dict[str, Any] = {
        "log_to_driver": verbose,
        "logging_level": logging.INFO if verbose else logging.ERROR,
    }
    address = options.address or os.environ.get("RAY_ADDRESS")
    if address:
        require_listener(address)
        settings["address"] = address
    else:
        # Named, or Ray would join whatever cluster was started on this machine.
        settings["address"] = "local"
        settings |= {"num_cpus": options.num_cpus or max(os.cpu_count() or 1, _FEWEST_CPUS), "include_dashboard": False}
    try:
        with nullcontext() if verbose else _muted_stderr():
            ray.init(**settings)
    except (AuthenticationError, ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        where = address or "this machine"
        with _muted_stderr():
            is_refused = isinstance(error, AuthenticationError) or (address and is_token_refused(address))
        if is_refused:
            raise ClusterError(f"Ray at {where} {_REFUSAL}") from error
        raise ClusterError(f"Ray at {where} cannot be reached ({str(error).splitlines()[0]})") from error
    try:
        _set_noise(verbose)
        with _stop_is_interrupt():
            yield
    finally:
        ray.shutdown()


def local_cores(options: RayOptions) -> int | None:
    """CPU cores of this machine where Ray would be started on it; None where a cluster is named."""
    return None if options.address or os.environ.get("RAY_ADDRESS") else os.cpu_count() or 1


def require_listener(address: str) -> None:
    """Raise ClusterError when nothing listens at HOST:PORT or a URL: Ray itself would try for many minutes."""
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
def _stop_is_interrupt() -> Iterator[None]:
    """Let SIGTERM, which `ray job stop`, Kubernetes and the system send, end a job as Ctrl-C does; Ray would exit."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _muted_stderr() -> Iterator[None]:
    """Drop what is written to file descriptor 2: Ray's C++ part announces its log level there, past Python."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _set_noise(verbose: bool) -> None:
    """Silence Ray's log, bars and advice on the terminal, or let them through."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = verbose
    context.print_on_execution_start = verbose
    context.raise_original_map_exception = True  # Ray's wrapper loses what it wraps on its way to the driver
    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.CRITICAL)
    if not verbose:
        hide_worker_output(_ADVICE)
