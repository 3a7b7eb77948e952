"""Uses of Ray's internals, written for Ray 2.60: what has to be checked when the bound `ray<2.61` is raised.

Ray is imported inside the functions: `colorize --help` must not wait for it.
"""

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from cluster.errors import ClusterError
from colorize_core.errors import UserError

_ADVICE_OF_RAY_DATA = "\nFailed to apply UDF transform after "  # it is added to the messages of our exceptions


def root_cause(error: BaseException) -> BaseException:
    """Return the exception inside Ray's wrappers, as it was raised; of several workers' exceptions, a UserError first.

    Errors of other workers are often consequences of the first one.
    """
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = list(_wrapped(error))
        if not inner:
            break
        roots = [root_cause(each) for each in inner] if len(inner) > 1 else []
        error = next((root for root in roots if isinstance(root, UserError)), inner[0])
    if error.args and isinstance(error.args[0], str):
        error.args = (error.args[0].partition(_ADVICE_OF_RAY_DATA)[0], *error.args[1:])
    return error


def _wrapped(error: BaseException) -> Iterator[BaseException]:
    failures = getattr(error, "worker_failures", None) or {}
    # `_base_exc`: Ray Train's UserExceptionWithTraceback has no public name for the exception of a worker.
    candidates = [getattr(error, name, None) for name in ("cause", "controller_failure", "_base_exc")]
    candidates += failures.values()
    found = [inner for inner in candidates if isinstance(inner, BaseException)]
    if found or isinstance(error, (UserError, ClusterError)):  # what these were raised from is not for the user
        yield from found
    elif error.__cause__:
        yield error.__cause__


def is_token_refused(address: str) -> bool:
    """Return True if the cluster at HOST:PORT rejects the token of this process, or the lack of one.

    `ray.init` reports a refused token as a timeout in some cases; the client of the control store tells them apart.
    """
    import ray
    from ray.exceptions import AuthenticationError

    try:
        ray._raylet.GcsClient(address=address)
    except AuthenticationError:
        return True
    except Exception:  # any other fault is not a matter of the token
        return False
    return False


def may_grow() -> bool:
    """Return True if the cluster of this process has an autoscaler that may add nodes, or if that is unknown.

    Ray has no public answer. Version 2 of its autoscaler runs under KubeRay and the cluster launcher only. Version 1
    also watches machines that were started by hand, and reports each as a type of its own: there is no configuration.
    """
    from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
    from ray.autoscaler.v2.utils import is_autoscaler_v2
    from ray.experimental.internal_kv import _internal_kv_get

    if is_autoscaler_v2(fetch_from_server=True):
        return True
    report = json.loads(_internal_kv_get(DEBUG_AUTOSCALING_STATUS) or "{}").get("autoscaler_report")
    return report is None or has_configured_type(report["active_nodes"] or ())


def has_configured_type(types: Iterable[str]) -> bool:
    """Return True if one of the types of nodes that an autoscaler reports is not just named after a node's id."""
    return any(not re.fullmatch("node_[0-9a-f]+", name) for name in types)


def running_address() -> str | None:
    """Return HOST:PORT of the Ray cluster that was last started or joined on this machine; None if it has ended."""
    from ray._private.utils import read_ray_address

    return read_ray_address() or None


def hide_worker_output(phrases: Sequence[str]) -> None:
    """Drop lines of workers and raylets that contain one of the phrases before Ray prints them in this process.

    Ray prints its own advice through this function even with log_to_driver=False, and offers no switch.
    """
    from ray._private import worker

    print_lines: Callable[..., None] = worker.print_to_stdstream

    def filtered(data: dict[str, Any], *arguments: Any, **options: Any) -> None:
        if not any(phrase in line for line in data.get("lines", ()) for phrase in phrases):
            print_lines(data, *arguments, **options)

    worker.print_to_stdstream = filtered


def worker_logging() -> Any:
    """Return a job configuration with which worker processes write log records to their log files, in Ray's format.

    The level is INFO, for the loggers of libraries as well: at DEBUG, botocore writes dozens of lines per request.

    `ray.init(logging_config=...)` would do the same, and give the root logger of the driver a handler as well: every
    record of the driver would be printed twice, and those of all libraries once.
    """
    from ray import LoggingConfig
    from ray.job_config import JobConfig

    config = JobConfig()
    config.set_py_logging_config(LoggingConfig(log_level="INFO", additional_log_standard_attrs=["name"]))
    return config


@contextmanager
def any_agent_port() -> Iterator[None]:
    """Let a local Ray that is started in the block choose a free port for its dashboard agent.

    `ray.init` has no argument for it. With the fixed default, 52365, a second Ray on a machine waits while its agent
    tries to bind the port seven times: it starts in 7 s instead of 3 s (Ray 2.60, 2 cores).
    """
    from ray._private import parameter

    original = parameter.RayParams
    parameter.RayParams = partial(original, dashboard_agent_listen_port=0)
    try:
        yield
    finally:
        parameter.RayParams = original


def uploaded_files(folder: Path, excludes: Sequence[str]) -> dict[str, int]:
    """Return the files that Ray would upload of a working directory, with their sizes in bytes.

    Ray has no public function for this. Its own walk is used, with its default excludes and the rules of .gitignore
    and .rayignore, so that exactly what is counted is sent.
    """
    from ray._private import ray_constants
    from ray._private.runtime_env import packaging

    sizes: dict[str, int] = {}

    def note(path: Path) -> None:
        if path.is_file():
            sizes[str(path.relative_to(folder))] = path.stat().st_size

    quiet = logging.getLogger(f"{__name__}.ray")
    quiet.setLevel(logging.ERROR)
    rules = [packaging._get_excludes(folder, [*ray_constants.get_runtime_env_default_excludes(), *excludes])]
    packaging._dir_travel(folder, rules, note, include_gitignore=True, logger=quiet)
    return sizes


class RequestTimeouts:
    """Base class of a JobSubmissionClient that limits the time of every request.

    Without a limit the client waits for a lost connection forever; its constructor sends requests already, so this
    cannot be set on an instance.
    """

    TIMEOUTS = (10.0, 60.0)
    """Seconds to connect, and to wait for the answer."""

    def _do_request(self, *arguments: Any, **options: Any) -> Any:
        return super()._do_request(*arguments, timeout=self.TIMEOUTS, **options)  # type: ignore[misc]
