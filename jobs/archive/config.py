"""Configuration of `colorize archive`."""

from typing import Literal

from pydantic import ByteSize, Field, model_validator

from cluster.config.keys import CHANGEABLE
from colorize_core.inference.engines import Engine
from colorize_core.inference.options import EnsembleOptions
from colorize_core.inference.settings import ColorSettings
from colorize_core.photo.options import MAX_PIXELS, EncodingOptions
from colorize_core.starter import STARTER
from colorize_core.status import FAILURES
from jobs.archive.settings import Rule
from jobs.command.config import OneOrMany, Output, PipelineJobConfig
from jobs.inputs.listing import ListingOptions
from jobs.inputs.sidecars import SidecarInput
from jobs.run.actors import ActorsOptions
from jobs.run.checkpoints import Checkpoints, check_ensemble
from jobs.run.credentials import SignedOutput

FETCH_CPUS = 0.5
"""Logical CPUs that reading photographs needs in addition to the actors."""

IMAGES = "images"
"""Folder of the output that mirrors the source in color."""


class ArchiveConfig(PipelineJobConfig, ColorSettings, EncodingOptions, SidecarInput, SignedOutput):
    """Colorize an archive of gray photographs. The same command continues an interrupted run.

    OUTPUT/images mirrors the source at full size with the original lightness; OUTPUT/metrics holds one Parquet row
    per input, failed inputs included; OUTPUT/run.json holds the configuration and the counts by status.
    """

    source: str
    """Folder or URI (s3://, gs://, az://) of the archive."""
    output: Output
    """Folder or URI (s3://, gs://, az://) for images, metrics, report and run.json."""
    checkpoint: Checkpoints = STARTER
    """Directory of the model, such as RUN/best; `starter` is the model that is part of the project. Several directories
    by name, such as {calm: starter, bold: RUN/best}, are an ensemble, whose predictions are mixed."""
    ensemble: EnsembleOptions = Field(default_factory=EnsembleOptions)
    """Mixture of the predictions of several checkpoints; their mean when empty."""
    format: Literal["same", "jpeg", "png", "webp", "tiff"] = "same"
    """Format of the color images; same follows the file name ending of the input (PNG for formats that cannot be
    written)."""
    on_color: Literal["colorize", "skip", "copy"] = "colorize"
    """Handling of inputs that are already in color: colorize them too and score the result against the original, skip
    them, or copy the file."""
    on_truncated: Literal["fail", "colorize"] = Field("fail", json_schema_extra=CHANGEABLE)
    """Handling of JPEG files that end early: fail, or colorize what there is of the picture, with a note in the row."""
    listing: ListingOptions = Field(default_factory=ListingOptions)
    """Selection of the inputs."""
    rules: list[Rule] = Field(default_factory=list)
    """Settings by pattern of the key, such as [{keys: "uniforms/*", calm: {violet: 0.5}}]; where several match, the
    last one counts. Settings are strength, max_chroma, calm, temperature, working_size, on_tone, checkpoint (a name)
    and skip. Columns of listing.manifest with these names count before rules."""
    corrections: OneOrMany = Field(default_factory=list, json_schema_extra=CHANGEABLE)
    """Corrections files (JSON, docs/reference/files-and-columns.md) of reviewers, whose settings of single photographs
    count before all others; of several for one photograph, the latest counts. A finished run is continued with those
    photographs whose settings they change."""
    limit: int | None = Field(None, ge=1, json_schema_extra=CHANGEABLE)
    """Process only the first inputs of the listing, for a trial; may be raised or removed to continue."""
    sample: int | None = Field(None, ge=1, json_schema_extra=CHANGEABLE)
    """Process only this many inputs, drawn at random from the whole listing; may be raised or removed to continue."""
    retry_failed: bool | list[str] = Field(False, json_schema_extra=CHANGEABLE)
    """Process failed inputs again: true for all of them, or a list of statuses such as [truncated]. The new rows
    replace the old ones."""
    new_run: bool = Field(False, json_schema_extra=CHANGEABLE)
    """Discard the run in the output and start a new one; its images are replaced one by one."""
    max_failed_fraction: float = Field(0.05, ge=0, le=1, json_schema_extra=CHANGEABLE)
    """Maximum fraction of failed inputs; if it is exceeded, the exit code is 3."""
    max_pixels: int = Field(MAX_PIXELS, ge=1)
    """Maximum pixels of a photograph; larger ones get the status too_large before they are decoded."""
    max_memory: ByteSize = Field(ByteSize(4_000_000_000), ge=1)
    """Maximum memory of each actor for the pixels of the photographs in progress, such as 4GB. Libraries and model need
    about 1 GB in addition, and each thread 0.1 GB. A photograph that needs more by itself gets the status too_large;
    100 megapixels need 1 GB in 8-bit gray, 1.8 GB in 16-bit gray, and 1.7 GB in color."""
    upsampling: Literal["guided", "bilinear"] = "guided"
    """Enlargement of chroma to full size: guided by the full-size lightness, which keeps colors within edges, or
    bilinear."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of the model; auto selects bf16 on devices where it is faster, mostly two to three times, which
    changes ab by 0.2 on average (measured with lite)."""
    engine: Engine = "auto"
    """What runs the model: torch; openvino, for CPUs (pip install 'colorize[openvino]'); or auto, which uses OpenVINO
    on CPUs where it is installed. OpenVINO changes ab by 0.03 on average (measured with the starter weights)."""
    actors: ActorsOptions = Field(default_factory=ActorsOptions, json_schema_extra=CHANGEABLE)
    """Processes that hold the model."""
    batch_size: int = Field(32, ge=1, json_schema_extra=CHANGEABLE)
    """Photographs per batch of an actor; after a crash the batches in progress are repeated, at most two per actor."""
    block_size: int = Field(256, ge=1, json_schema_extra=CHANGEABLE)
    """Maximum photographs per task of Ray. Tasks become smaller toward the end of the inputs, so that the actors finish
    at about the same time."""
    report: bool = Field(True, json_schema_extra=CHANGEABLE)
    """Write the page OUTPUT/report/index.html at the end; `colorize report OUTPUT` writes it at any time."""

    @model_validator(mode="after")
    def _check(self) -> "ArchiveConfig":
        check_ensemble(self.checkpoint, self.ensemble)
        names = () if isinstance(self.checkpoint, str) else tuple(self.checkpoint)
        for rule in self.rules:
            if rule.checkpoint is not None and rule.checkpoint not in names:
                raise ValueError(f"rules: {rule.checkpoint!r} is not the name of a checkpoint of the run")
        if self.limit and self.sample:
            raise ValueError("set either limit or sample, not both")
        if isinstance(self.retry_failed, list) and (unknown := set(self.retry_failed) - set(FAILURES)):
            raise ValueError(
                f"retry_failed: unknown status {', '.join(sorted(unknown))}; failed statuses are {', '.join(FAILURES)}"
            )
        if self.new_run and self.retry_failed:
            raise ValueError("new_run processes every input again; remove retry_failed")
        return self

    def retried_statuses(self) -> tuple[str, ...]:
        """Return the statuses of the inputs to process again; empty if none."""
        if isinstance(self.retry_failed, list):
            return tuple(self.retry_failed)
        return FAILURES if self.retry_failed else ()
