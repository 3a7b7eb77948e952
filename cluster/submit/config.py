"""What can be said of a submission."""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

import yaml
from pydantic import ByteSize, Field, field_validator, model_validator

from cluster.config.loading import Section
from cluster.submit.upload import LARGEST

_SECRET = re.compile(r"secret|token|password|passwd|credential|access_key|api_key|private_key", re.IGNORECASE)
_OWN_RUNTIME = ("working_dir", "excludes", "env_vars")


class DriverOptions(Section):
    """What the job's driver takes of the node it runs on; nothing, on the head, when all are left out."""

    cpus: float | None = Field(None, ge=0)
    """Logical CPUs. With any of these the driver runs on a node that has them; keep them small, they are not the
    workers'."""
    gpus: float | None = Field(None, ge=0)
    """GPUs."""
    memory: ByteSize | None = Field(None, ge=1)
    """Memory, such as 2GB."""
    resources: dict[str, float] = Field(default_factory=dict)
    """Custom resources of the cluster."""


class SubmitConfig(Section):
    """Run a verb, or any command, as a job on a Ray cluster: upload the code, print the log, exit with the job's code.

    The cluster's nodes have colorize's dependencies installed (an image, an environment); the working directory
    brings the code. Submitting the same again continues what was interrupted.
    """

    POSITIONAL = ("--config",)

    address: str | None = None
    """URL of the cluster's dashboard (http://HOST:8265); RAY_API_SERVER_ADDRESS or RAY_ADDRESS when empty, else the
    head of this machine."""
    verb: str | None = None
    """What to run: train, archive and so on; or give command."""
    config: str | None = None
    """Configuration file of the verb, in the working directory."""
    keys: dict[str, Any] = Field(default_factory=dict)
    """Keys of the verb, over those of the file: keys.output=s3://... on the command line."""
    command: list[str] = Field(default_factory=list)
    """Instead of a verb: a program and its arguments, each an item; no shell looks at them."""
    python: str = "python"
    """The interpreter on the head that runs a verb; a path where the head was started without its environment."""
    working_dir: str | None = "."
    """Folder that is uploaded and in which the job runs, on every node; nothing is uploaded when empty, and the code
    is that of the nodes."""
    excludes: list[str] = Field(default_factory=list)
    """What else not to upload: patterns as in .gitignore. Left out anyway: what .gitignore and .rayignore name, .git,
    environments, caches, tests, docs, runs, .env, *.pem, *.key; ["!/docs", "!/docs/**"] takes a folder back."""
    max_upload: ByteSize = Field(ByteSize(50_000_000), ge=1, le=LARGEST)
    """Refuse to upload more; Ray refuses more than 512 MiB."""
    env_vars: dict[str, str] = Field(default_factory=dict)
    """Environment of the job and its workers."""
    pass_env: list[str] = Field(default_factory=list)
    """Names of variables whose values are taken from the environment here: credentials, where nodes have no role.
    Values are never printed; who may talk to the cluster can read them."""
    runtime_env: dict[str, Any] = Field(default_factory=dict)
    """Further keys of Ray's runtime environment, such as config: {setup_timeout_seconds: 1200}."""
    driver: DriverOptions = Field(default_factory=DriverOptions)
    """What the job's driver takes of the node it runs on."""
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]+$")
    """Begins the job's id, before the time; the verb when empty."""
    metadata: dict[str, str] = Field(default_factory=dict)
    """Shown beside the job in the dashboard."""
    wait: bool = True
    """Print the job's log and exit with its exit code; else return when it is submitted."""
    on_interrupt: Literal["leave", "stop"] = "leave"
    """What Ctrl-C (or SIGTERM) here does to the job."""
    stop_after: float | None = Field(None, gt=0)
    """Seconds after which a job that is waited for is stopped."""
    stop_grace: int = Field(30, ge=0)
    """Seconds that a stopped job has to put its things in order before it is killed."""
    follow: str | None = None
    """Id of a job that was submitted before: print its log and exit with its code instead of submitting."""

    @field_validator("address")
    @classmethod
    def _is_url(cls, address: str | None) -> str | None:
        if address is not None and not address.startswith(("http://", "https://")):
            raise ValueError("must be the URL of the dashboard, such as http://HOST:8265")
        return address

    @field_validator("env_vars")
    @classmethod
    def _no_secrets(cls, variables: dict[str, str]) -> dict[str, str]:
        for name in variables:
            if _SECRET.search(name):
                raise ValueError(f"'{name}' looks like a secret, which has no place in a file; name it in pass_env")
        return variables

    @field_validator("runtime_env")
    @classmethod
    def _no_own_keys(cls, runtime: dict[str, Any]) -> dict[str, Any]:
        if own := [key for key in _OWN_RUNTIME if key in runtime]:
            raise ValueError(f"{own[0]} is a key of its own, beside runtime_env")
        return runtime

    @model_validator(mode="after")
    def _check(self) -> "SubmitConfig":
        if not self.follow and bool(self.verb) == bool(self.command):
            raise ValueError("give a verb to run (verb: train), or a command")
        if self.command and (self.config or self.keys):
            raise ValueError("config and keys belong to a verb; a command has its arguments itself")
        if self.stop_after and not self.wait:
            raise ValueError("stop_after needs wait: what nobody waits for is not stopped")
        return self

    def words(self) -> list[str]:
        """The job's command, word by word."""
        if self.command:
            return list(self.command)
        file = ["--config", self.config] if self.config else []
        return [self.python, "-m", "jobs.cli", str(self.verb), *file, *key_arguments(self.keys)]


def key_arguments(keys: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Nested keys as key=value arguments that are read back as the same values."""
    words: list[str] = []
    for name, value in keys.items():
        if isinstance(value, Mapping) and value:
            words += key_arguments(value, f"{prefix}{name}.")
        else:
            words.append(f"{prefix}{name}={_as_yaml(value)}")
    return words


def _as_yaml(value: Any) -> str:
    """A value on one line of YAML: text as it is where it reads back as itself, else JSON."""
    if value is None:
        return ""
    if isinstance(value, str) and "\n" not in value:
        try:
            if yaml.safe_load(value) == value:
                return value
        except yaml.YAMLError:
            pass
    return json.dumps(value, ensure_ascii=False, default=str)
