"""Configuration of `colorize submit`."""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

import yaml
from pydantic import ByteSize, Field, field_validator, model_validator

from cluster.config.loading import Section
from cluster.submit.upload import MAX_BYTES
from colorize_core.formatting import flatten

_SECRET = re.compile(r"secret|token|password|passwd|credential|access_key|api_key|private_key", re.IGNORECASE)
_OWN_RUNTIME = ("working_dir", "excludes", "env_vars")


class DriverOptions(Section):
    """Resources of the job's driver. Without any, the driver runs on the head and reserves nothing."""

    cpus: float | None = Field(None, ge=0)
    """Logical CPUs. With any of these keys the driver runs on a node that has the resources; they are in addition to
    those of the workers."""
    gpus: float | None = Field(None, ge=0)
    """GPUs."""
    memory: ByteSize | None = Field(None, ge=1)
    """Memory in bytes, such as 2GB."""
    resources: dict[str, float] = Field(default_factory=dict)
    """Custom resources of the cluster, by name."""


class SubmitConfig(Section):
    """Run a verb, or any command, as a job on a Ray cluster: check the verb's configuration here, upload the code,
    print the log, exit with the job's code.

    The nodes of the cluster must have colorize's dependencies installed (by an image or an environment); the code is
    uploaded with the working directory. Submitting the same job again continues an interrupted run.
    """

    POSITIONAL = ("--config",)

    address: str | None = None
    """URL of the cluster's dashboard (http://HOST:8265); RAY_API_SERVER_ADDRESS or RAY_ADDRESS when empty, else a head
    on this machine."""
    verb: str | None = None
    """Verb to run: train, archive and so on; alternatively, give command."""
    config: str | None = None
    """Configuration file of the verb, in the working directory."""
    keys: dict[str, Any] = Field(default_factory=dict)
    """Keys of the verb, which override those of its file: keys.output=s3://... on the command line."""
    command: list[str] = Field(default_factory=list)
    """Program and arguments to run instead of a verb, one item each; they are not interpreted by a shell."""
    python: str = "python"
    """Python interpreter on the head for verbs; a path if it is not on the PATH of the head."""
    working_dir: str | None = "."
    """Folder to upload, which becomes the working directory of the job on every node. When empty, nothing is uploaded
    and the code installed on the nodes is used."""
    excludes: list[str] = Field(default_factory=list)
    """Patterns, as in .gitignore, of further files not to upload. Always excluded: files ignored by .gitignore and
    .rayignore, .git, environments, caches, tests, docs, runs, .env, *.pem, *.key; ["!/docs", "!/docs/**"] includes a
    folder again."""
    max_upload: ByteSize = Field(ByteSize(50_000_000), ge=1, le=MAX_BYTES)
    """Maximum size of the upload in bytes; Ray's own limit is 512 MiB."""
    env_vars: dict[str, str] = Field(default_factory=dict)
    """Environment variables of the job and its workers."""
    pass_env: list[str] = Field(default_factory=list)
    """Names of variables whose values are copied from the environment of this command, such as credentials where nodes
    have no role. Values are never printed, but everyone with access to the cluster can read them."""
    runtime_env: dict[str, Any] = Field(default_factory=dict)
    """Further keys of Ray's runtime environment, such as config: {setup_timeout_seconds: 1200}."""
    driver: DriverOptions = Field(default_factory=DriverOptions)
    """Resources of the job's driver."""
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]+$")
    """Prefix of the job's id, before the time; the verb when empty."""
    metadata: dict[str, str] = Field(default_factory=dict)
    """Labels of the job in the dashboard."""
    wait: bool = True
    """Print the job's log and exit with its exit code; false returns when the job is submitted."""
    on_interrupt: Literal["leave", "stop"] = "leave"
    """Effect of Ctrl-C (or SIGTERM) in this command on the job."""
    stop_after: float | None = Field(None, gt=0)
    """Seconds after which the job is stopped, with wait=true."""
    stop_grace: int = Field(30, ge=0)
    """Seconds between the signal to stop and the end of the job by force."""
    follow: str | None = None
    """Id of a submitted job: print its log and exit with its exit code instead of submitting."""

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
                raise ValueError(
                    f"'{name}' looks like a secret, which must not be stored in a file; list it in pass_env"
                )
        return variables

    @field_validator("runtime_env")
    @classmethod
    def _no_own_keys(cls, runtime: dict[str, Any]) -> dict[str, Any]:
        if own := [key for key in _OWN_RUNTIME if key in runtime]:
            raise ValueError(f"{own[0]} is a key of submit itself, not of runtime_env")
        return runtime

    @model_validator(mode="after")
    def _check(self) -> "SubmitConfig":
        if not self.follow and bool(self.verb) == bool(self.command):
            raise ValueError("give either a verb to run (verb: train) or a command")
        if self.command and (self.config or self.keys):
            raise ValueError("config and keys are for verbs; give the arguments of a command in command")
        if self.stop_after and not self.wait:
            raise ValueError("stop_after requires wait=true")
        return self

    def words(self) -> list[str]:
        """Return the command line of the job as a list of words."""
        if self.command:
            return list(self.command)
        file = ["--config", self.config] if self.config else []
        return [self.python, "-m", "jobs.cli", *str(self.verb).split(), *file, *key_arguments(self.keys)]


def key_arguments(keys: Mapping[str, Any]) -> list[str]:
    """Return nested keys as key=value arguments that are read back as the same values."""
    return [f"{name}={_as_yaml(value)}" for name, value in flatten(keys).items()]


def _as_yaml(value: Any) -> str:
    """Return a value as one line of YAML: text unchanged if it reads back as itself, otherwise JSON."""
    if value is None:
        return ""
    if isinstance(value, str) and "\n" not in value:
        try:
            if yaml.safe_load(value) == value:
                return value
        except yaml.YAMLError:
            pass
    return json.dumps(value, ensure_ascii=False, default=str)
