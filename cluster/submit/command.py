"""Run a command as a job on a Ray cluster; `jobs.submit` makes it the verb, and checks the configuration of the job.

Exit codes: that of the job; 1 also if the job was stopped or left running, or the cluster cannot be reached; 2 for an
error in the file or on the command line.
"""

import logging
import os
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from cluster.config.command_line import DONE, FAILED, TOO_MANY_FAILED, USAGE, complain
from cluster.errors import ClusterError, ConfigError
from cluster.session import require_listener
from cluster.submit.config import SubmitConfig
from cluster.submit.upload import EXCLUDES, Package, read_package
from colorize_core.formatting import last_line

if TYPE_CHECKING:
    from cluster.submit.client import JobClient, JobDetails

_log = logging.getLogger(__name__)

_LOCAL_URL = "http://127.0.0.1:8265"
_REASONS = {
    TOO_MANY_FAILED: "more inputs failed than max_failed_fraction allows",
    127: "the program was not found on the head, see the key python",
    137: "killed on the head, as when memory runs out",
}
"""Why a job failed that said nothing about it, by exit code."""
_NO_AGENT = (
    "no agent answers on the head: it has just been started, or another Ray uses port 52365 there and this one "
    "requires --dashboard-agent-listen-port"
)


def plan(config: SubmitConfig, package: Package | None) -> str:
    """Describe what would be uploaded and run, without connecting to the cluster."""
    if config.follow:
        return f"submit would follow {config.follow} on {_address(config)}"
    upload = f"upload {package} from {package.folder}" if package else "upload nothing"
    environment = ", ".join(sorted(_environment(config))) or "nothing"
    return f"submit would {upload} to {_address(config)}, set {environment}, and run\n  {shlex.join(config.words())}"


def run(config: SubmitConfig, package: Package | None) -> int:
    """Upload, submit and follow the job; returns its exit code.

    Args:
        config: what to submit, or to follow.
        package: files to upload, from `check_upload`.

    Raises:
        ClusterError: the cluster cannot be reached, or does not accept the job.
    """
    client = _connect(_address(config))
    job = config.follow or _submit(client, config, package)
    again = f"colorize submit address={client.get_address()} follow={job}"
    if not config.wait:
        print(f"follow it: {again}", flush=True)
        return DONE
    return _follow(client, job, config, again)


def check_upload(config: SubmitConfig) -> Package | None:
    """Return the files to upload, if any; raises ConfigError if they are too large or lack the configuration file."""
    if config.working_dir is None or config.follow:
        return None
    package = read_package(config.working_dir, [*EXCLUDES, *config.excludes])
    if config.config and not Path(config.config).is_absolute() and os.path.normpath(config.config) not in package.sizes:
        exists = (Path(config.working_dir) / config.config).is_file()
        reason = "left out of the upload; see excludes and .gitignore" if exists else "no such file"
        raise ConfigError(f"config = {config.config!r}: {reason} (working_dir is {config.working_dir})")
    package.require_at_most(config.max_upload)
    return package


def _address(config: SubmitConfig) -> str:
    """Return the URL of the dashboard; raises ConfigError if the environment has another kind of address."""
    if config.address:
        return config.address.rstrip("/")
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        given = os.environ.get(name, "")
        if given.startswith(("http://", "https://")):
            return given.rstrip("/")
        if given not in ("", "auto", "local"):
            raise ConfigError(
                f"{name} = {given!r}: a submission requires the dashboard's URL; give address=http://HOST:8265"
            )
    return _LOCAL_URL


def _environment(config: SubmitConfig) -> dict[str, str]:
    """Return the environment of the job: signal and delay of a stop, env_vars, and the variables of pass_env."""
    # By default Ray sends SIGTERM and kills after 3 s, which is too short to finish an upload.
    stop = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": str(config.stop_grace)}
    passed = {name: os.environ[name] for name in config.pass_env if name in os.environ}
    return stop | config.env_vars | passed


def use_token() -> None:
    """Use the token of this machine: call it before Ray is imported, which reads it then. A head finds it itself."""
    given = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if given or (Path.home() / ".ray" / "auth_token").is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _connect(url: str) -> "JobClient":
    require_listener(url)  # first, because importing Ray takes seconds
    from cluster.submit.client import connect

    return connect(url)


def _submit(client: "JobClient", config: SubmitConfig, package: Package | None) -> str:
    """Upload and submit; returns the id of the job."""
    if config.pass_env:
        given = [name for name in config.pass_env if name in os.environ]
        absent = [name for name in config.pass_env if name not in os.environ]
        _log.info(
            "environment variables passed to the job: %s%s",
            ", ".join(given) or "none",
            f"; not set here: {', '.join(absent)}" if absent else "",
        )
    runtime: dict[str, Any] = {**config.runtime_env, "env_vars": _environment(config)}
    if package:
        runtime |= {"working_dir": package.folder, "excludes": [*EXCLUDES, *config.excludes]}
        _log.info("uploading %s from %s to %s", package, package.folder, client.get_address())
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    job = f"{config.name or config.verb or 'job'}-{stamp}-{uuid4().hex[:4]}"
    driver = config.driver
    try:
        client.submit_job(
            entrypoint=shlex.join(config.words()),
            runtime_env=runtime,
            submission_id=job,
            metadata=dict(config.metadata),
            entrypoint_num_cpus=driver.cpus,
            entrypoint_num_gpus=driver.gpus,
            entrypoint_memory=driver.memory,
            entrypoint_resources=driver.resources or None,
        )
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        if not (isinstance(error, OSError) and client.has(job)):  # only the answer may have been lost
            reason = _NO_AGENT if "No available agent" in str(error) else last_line(error)
            raise ClusterError(f"{client.get_address()}: the job was not accepted ({reason})") from error
    _log.info("submitted %s", job)
    return job


def _follow(client: "JobClient", job: str, config: SubmitConfig, again: str) -> int:
    """Print the log to the end; returns the exit code of the job."""
    from cluster.submit.follow import Follower

    follower = Follower(client, job)
    try:
        return _conclude(job, follower.to_end(config.stop_after), follower.complaint)
    except KeyboardInterrupt:
        if config.on_interrupt == "leave":
            stop = f"ray job stop {job} --address {client.get_address()}"
            print(f"\n{job} continues to run\n  follow it: {again}\n  stop it: {stop}", flush=True)
            return FAILED
        _log.info("stopping %s", job)
        client.stop(job)
        _conclude(job, follower.to_end(), "")
        return FAILED
    except ClusterError as error:
        return complain(f"{error}; if {job} is still running, follow it: {again}", FAILED)


def _conclude(job: str, details: "JobDetails", complaint: str) -> int:
    """Report how a job ended, and why; returns its exit code, or 1 if it has none.

    Args:
        job: id of the job.
        details: its final state.
        complaint: what its command printed about a failure; empty if nothing.
    """
    status, code = details.status.value, details.driver_exit_code
    if status == "SUCCEEDED":
        _log.info("%s is done", job)
        return DONE
    if status == "STOPPED":
        return complain(f"{job} was stopped; submitting it again continues", FAILED)
    if code is None:
        return complain(f"{job} failed: {last_line(details.message or 'no reason given')}", FAILED)
    reason = complaint or _REASONS.get(code, "its log is above")
    complain(f"{job} failed with exit code {code}: {reason}")
    return code if USAGE <= code <= 255 else FAILED
