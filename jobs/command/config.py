"""Configuration of jobs: what they share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field

from cluster.config import loading as config
from cluster.config.loading import Section
from cluster.errors import ConfigError
from cluster.session import RayOptions
from cluster.storage.s3 import S3
from cluster.storage.stores import StorageOptions
from colorize_core.errors import UserError

_UPLOADED = "working_dir_files"  # part of the path at which Ray unpacks the working directory of a submitted job


def _lasting(location: str) -> str:
    """Refuse an output in the copy of the working directory that a submitted job runs in: Ray deletes it."""
    if not location.startswith(S3) and _UPLOADED in Path(location).expanduser().absolute().parts:
        raise ValueError("would be lost with the uploaded copy that this job runs in; give s3:// or an absolute path")
    return location


Output = Annotated[str, AfterValidator(_lasting)]
"""Where a job writes."""

AnyConfig = TypeVar("AnyConfig", bound="VerbConfig")


class VerbConfig(Section):
    """The configuration of a verb."""

    @classmethod
    def load(cls: type[AnyConfig], file: str | None, overrides: list[str]) -> AnyConfig:
        """Read a YAML file, apply key=value overrides, and check everything.

        Raises:
            UserError: one line naming the file or the command line, the key path, the value and what would be valid.
        """
        try:
            return config.load(cls, file, overrides)
        except ConfigError as error:
            raise UserError(str(error)) from None

    @classmethod
    def part(cls: type[AnyConfig], values: Mapping[str, Any], where: str) -> AnyConfig:
        """Check a configuration that is part of another one, at the key `where`; raises UserError as `load` does."""
        try:
            return config.check(cls, values, where)
        except ConfigError as error:
            raise UserError(str(error)) from None


class JobConfig(VerbConfig):
    """What every job has that runs on Ray."""

    ray: RayOptions = Field(default_factory=RayOptions)
    """Which Ray to use."""


class StorageJobConfig(JobConfig):
    """What every job has that reads and writes where the user says."""

    storage: StorageOptions = Field(default_factory=StorageOptions)
    """How to reach S3."""


class PipelineJobConfig(StorageJobConfig):
    """What every job has that is a pipeline over photographs."""

    stall_seconds: int = Field(600, ge=10)
    """Give up when nothing has moved for so long."""
