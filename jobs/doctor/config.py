"""Configuration of `colorize doctor`."""

from collections.abc import Mapping
from typing import Any, Literal, cast, get_args

from pydantic import Field, PrivateAttr

from cluster.config.loading import read_yaml
from colorize_core.errors import UserError
from jobs.command.config import JobConfig
from jobs.command.verb import Verb, load_verb

CheckedVerbName = Literal["prepare", "train", "evaluate", "archive"]
_OWN_KEYS = ("verb", "deployment", "timeout", "json")
_SHARED_KEYS = ("ray", "log")


class DoctorConfig(JobConfig):
    """Check the cluster at ray.address or RAY_ADDRESS, or this machine alone: versions on every node, GPUs and CUDA,
    disk, shared memory, limits, clocks, authentication.

    With a verb and its configuration (colorize doctor archive --config FILE key=value ...) also check what that job
    needs: CPUs and GPUs for its processes, access to its locations from every node, its weights, and its inputs. The
    verb may be left out where the configuration is valid for only one. The exit code is 1 when a check failed.
    """

    POSITIONAL = ("verb",)

    verb: CheckedVerbName | None = None
    """Verb whose job is checked; its keys are given beside those of doctor."""
    deployment: list[str] = Field(default_factory=list)
    """Files and folders with which a cluster is started, such as cluster/deploy/aws.yaml: their YAML files must have no
    placeholder left, such as BUCKET or ami-00000000000000000."""
    timeout: float = Field(60, gt=0)
    """Seconds after which a node counts as not responding."""
    as_json: bool = Field(False, alias="json")
    """Print the findings as one JSON object."""
    _job: JobConfig | None = PrivateAttr(None)

    @property
    def job(self) -> JobConfig | None:
        """Configuration of the verb; None where no job is checked."""
        return self._job

    @classmethod
    def load(
        cls,
        file: str | None,
        overrides: list[str],
        *,
        source: str = "command line",
        context: Mapping[str, Any] | None = None,
    ) -> "DoctorConfig":
        """Read the keys of doctor from the overrides, and those of the verb from the file and the other overrides.

        Raises:
            UserError: a key is wrong, or no verb is named and the keys are not those of exactly one.
        """
        own = [override for override in overrides if override.partition("=")[0] in _OWN_KEYS]
        keys = [override for override in overrides if override not in own]
        config = super().load(None, own, source=source, context=context)
        sections = {key.partition("=")[0].partition(".")[0] for key in keys} | set(read_yaml(file) if file else ())
        if config.verb is None and sections <= {*_OWN_KEYS, *_SHARED_KEYS}:
            return super().load(file, overrides, source=source, context=context)
        verb = config.verb or _deduce(file, keys)
        job = cast(JobConfig, load_verb(verb).CONFIG.load(file, keys, source=source, context=context))
        config = config.model_copy(update={"verb": verb, "ray": job.ray, "log": job.log})
        config._job = job
        return config


def _deduce(file: str | None, keys: list[str]) -> CheckedVerbName:
    """Return the verb that a configuration is valid for; raises UserError if that is none, or several."""
    names: tuple[CheckedVerbName, ...] = get_args(CheckedVerbName)
    fitting = [name for name in names if _is_valid(load_verb(name), file, keys)]
    if len(fitting) != 1:
        which = f"valid for {' and '.join(fitting)}" if fitting else "not valid for any verb"
        raise UserError(
            f"doctor: the configuration is {which}; name the verb: colorize doctor {'|'.join(names)} "
            "[--config FILE] [key=value ...]"
        )
    return fitting[0]


def _is_valid(verb: Verb, file: str | None, keys: list[str]) -> bool:
    try:
        verb.CONFIG.load(file, keys)
    except UserError:
        return False
    return True
