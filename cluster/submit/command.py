"""`python -m cluster.submit FILE.yaml [key=value ...]`: a verb as a job on a Ray cluster, from one file.

Exit codes: those of the job; 1 also when the job was stopped or left running, or the cluster cannot be reached; 2 when
the file or the command line is wrong.
"""

import os
import shlex
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from cluster.config.command_line import DONE, FAILED, USAGE, complain
from cluster.errors import ClusterError, ConfigError
from cluster.session import require_listener
from cluster.submit.config import SubmitConfig
from cluster.submit.upload import EXCLUDES, Package, read_package

if TYPE_CHECKING:
    from cluster.submit.client import JobClient, JobDetails

CONFIG = SubmitConfig

_HERE = "http://127.0.0.1:8265"
_NOT_FOUND = 127
_NO_AGENT = (
    "no agent answers on the head: it has just been started, or another Ray there holds port 52365 and it needs "
    "--dashboard-agent-listen-port"
)


def plan(config: SubmitConfig) -> str:
    """What would be uploaded and run; nothing is contacted."""
    if config.follow:
        return f"submit would follow {config.follow} on {_address(config)}"
    package = _check_package(config)
    upload = f"upload {package} from {package.folder}" if package else "upload nothing"
    environment = ", ".join(sorted(_environment(config))) or "nothing"
    return f"submit would {upload} to {_address(config)}, set {environment}, and run\n  {shlex.join(config.words())}"


def run(config: SubmitConfig, verbose: bool = False) -> int:
    """Check, upload, submit, follow; returns the exit code."""
    _use_token()
    package = None if config.follow else _check_package(config)
    client = _connect(_address(config))
    job = config.follow or _submit(client, config, package)
    again = f"python -m cluster.submit address={client.get_address()} follow={job}"
    if not config.wait:
        _say(f"follow it: {again}")
        return DONE
    return _follow(client, job, config, again)


def _check_package(config: SubmitConfig) -> Package | None:
    """What will be uploaded; raises ConfigError when that is too much, or lacks what the job needs."""
    if config.working_dir is None:
        return None
    package = read_package(config.working_dir, [*EXCLUDES, *config.excludes])
    if config.config and not Path(config.config).is_absolute() and os.path.normpath(config.config) not in package.sizes:
        there = (Path(config.working_dir) / config.config).is_file()
        reason = "left out of the upload; see excludes and .gitignore" if there else "no such file"
        raise ConfigError(f"config = {config.config!r}: {reason} (working_dir is {config.working_dir})")
    package.require_at_most(config.max_upload)
    return package


def _address(config: SubmitConfig) -> str:
    """URL of the dashboard; raises ConfigError for an environment that names something else."""
    if config.address:
        return config.address.rstrip("/")
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        given = os.environ.get(name, "")
        if given.startswith(("http://", "https://")):
            return given.rstrip("/")
        if given not in ("", "auto", "local"):
            raise ConfigError(
                f"{name} = {given!r}: a submission needs the dashboard's URL; give address=http://HOST:8265"
            )
    return _HERE


def _environment(config: SubmitConfig) -> dict[str, str]:
    """Variables of the job: how it is stopped, those of the file, those that are passed on."""
    # Ray would send SIGTERM and kill after 3 seconds, which is too short for an upload to end.
    stop = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": str(config.stop_grace)}
    passed = {name: os.environ[name] for name in config.pass_env if name in os.environ}
    return stop | config.env_vars | passed


def _use_token() -> None:
    """Send the token that is here. A head takes one by itself, a client has to be told before it imports Ray."""
    given = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if given or (Path.home() / ".ray" / "auth_token").is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _connect(url: str) -> "JobClient":
    require_listener(url)  # before the seconds that importing Ray takes
    from cluster.submit.client import connect

    return connect(url)


def _submit(client: "JobClient", config: SubmitConfig, package: Package | None) -> str:
    """Upload and submit; the job's id."""
    if config.pass_env:
        given = [name for name in config.pass_env if name in os.environ]
        absent = [name for name in config.pass_env if name not in os.environ]
        _say(f"passed on: {', '.join(given) or 'nothing'}" + (f"; not set here: {', '.join(absent)}" if absent else ""))
    runtime: dict[str, Any] = {**config.runtime_env, "env_vars": _environment(config)}
    if package:
        runtime |= {"working_dir": package.folder, "excludes": [*EXCLUDES, *config.excludes]}
        _say(f"{package} from {package.folder} to {client.get_address()}")
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
        if not (isinstance(error, OSError) and client.has(job)):  # it may be the answer that was lost
            reason = _NO_AGENT if "No available agent" in str(error) else _last_line(str(error))
            raise ClusterError(f"{client.get_address()}: the job was not taken ({reason})") from error
    _say(f"{job} is submitted")
    return job


def _follow(client: "JobClient", job: str, config: SubmitConfig, again: str) -> int:
    """Print the log to the end; the exit code of the job."""
    from cluster.submit.follow import Follower

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    follower = Follower(client, job, _say)
    try:
        return _conclude(job, follower.to_end(config.stop_after))
    except KeyboardInterrupt:
        if config.on_interrupt == "leave":
            _say(
                f"\n{job} goes on\n  follow it: {again}\n  stop it: ray job stop {job} --address {client.get_address()}"
            )
            return FAILED
        _say(f"stopping {job}")
        client.stop(job)
        _conclude(job, follower.to_end())
        return FAILED
    except ClusterError as error:
        return complain(f"{error}; if {job} still runs, follow it: {again}", FAILED)


def _conclude(job: str, details: "JobDetails") -> int:
    """Say how a job ended; its exit code, 1 where it has none."""
    status, code = details.status.value, details.driver_exit_code
    if status == "SUCCEEDED":
        _say(f"{job} is done")
        return DONE
    if status == "STOPPED":
        return complain(f"{job} was stopped; submitting it again continues", FAILED)
    if code is None:
        return complain(f"{job} failed: {_last_line(details.message or 'no reason given')}", FAILED)
    hint = ", its program was not found on the head: see python" if code == _NOT_FOUND else ""
    complain(f"{job} failed with exit code {code}{hint}")
    return code if USAGE <= code <= 255 else FAILED


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:300]


def _say(line: str) -> None:
    print(f"submit: {line.lstrip()}", flush=True)
