"""Keys that the configurations of jobs share."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from cluster.config.keys import CHANGEABLE
from cluster.config.loading import Section
from cluster.log import LogOptions
from cluster.session import RayOptions
from cluster.storage.stores import StorageOptions
from colorize_core.errors import UserError
from colorize_core.runtime.locations import normalize_location

UPLOADED = {"runs_in_upload": True}
"""Context for `Section.load` of a job that will run in an uploaded copy of the working directory."""
_UPLOADS = "working_dir_files"  # folder in which Ray unpacks the working directory of a submitted job


def _require_lasting(location: str, info: ValidationInfo) -> str:
    """Reject an output in the uploaded copy of the working directory that a submitted job runs in: Ray deletes it."""
    try:
        normalized = normalize_location(location)
    except UserError as error:
        raise ValueError(str(error).removeprefix(f"{location}: ")) from None
    is_relative = "://" not in location and not location.startswith(("/", "~"))
    if _UPLOADS in Path(normalized).parts or (is_relative and (info.context or {}).get("runs_in_upload")):
        raise ValueError("would be deleted with the uploaded working directory; give a URI or an absolute path")
    return location


Output = Annotated[str, AfterValidator(_require_lasting)]
"""Location that a job writes to."""


OneOrMany = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
"""One text or a list of several."""


class VerbConfig(Section):
    """Configuration of a verb."""


class JobConfig(VerbConfig):
    """Configuration of a job that runs on Ray."""

    ray: RayOptions = Field(default_factory=RayOptions, json_schema_extra=CHANGEABLE)
    """Ray cluster to use."""
    log: LogOptions = Field(default_factory=LogOptions, json_schema_extra=CHANGEABLE)
    """Log of the job."""


class StorageJobConfig(JobConfig):
    """Configuration of a job with inputs and outputs at locations of the user's choice."""

    storage: StorageOptions = Field(default_factory=StorageOptions, json_schema_extra=CHANGEABLE)
    """Access to object storage."""


class PipelineJobConfig(StorageJobConfig):
    """Configuration of a job that is a pipeline over photographs."""

    stall_seconds: int = Field(600, ge=10, json_schema_extra=CHANGEABLE)
    """Seconds without progress after which the job is stopped."""
