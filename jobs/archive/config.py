"""What can be said of an archive run."""

from typing import Literal

from pydantic import ByteSize, Field, model_validator

from colorize_core.starter import STARTER
from jobs.command.config import Output, PipelineJobConfig
from jobs.inputs.listing import ListingOptions
from jobs.run.actors import ActorsOptions

FETCH_CPUS, WRITE_CPUS = 0.5, 0.25
RESERVED_CPUS = FETCH_CPUS + WRITE_CPUS
"""Logical CPUs that reading, and making rows safe, need beside the actors."""

IMAGES = "images"
"""Folder of the output that mirrors the source in color."""

FAILURES = (
    "empty",
    "missing",
    "not_an_image",
    "truncated",
    "too_large",
    "unsupported",
    "read_error",
    "write_error",
    "model_error",
)


class ArchiveConfig(PipelineJobConfig):
    """Color an archive of gray photographs. The same command continues a run that was interrupted.

    OUTPUT/images mirrors the source at full size with the original lightness; OUTPUT/metrics holds one Parquet row
    per input, whatever became of it; run.json holds the configuration and the counts.
    """

    source: str
    """Folder or s3:// prefix of the archive."""
    output: Output
    """Where images, metrics and run.json go."""
    checkpoint: str = STARTER
    """Directory of the model, such as RUN/best; starter is the one that comes with the project."""
    format: Literal["same", "jpeg", "png", "webp", "tiff"] = "same"
    """Of the color images; same follows the input's file name ending (PNG for those that cannot be written)."""
    quality: int = Field(95, ge=1, le=100)
    """Of JPEG and WebP."""
    subsampling: Literal["4:4:4", "4:2:0"] = "4:2:0"
    """Of JPEG's chroma; 4:4:4 keeps all of it in files about a sixth larger."""
    compression: int = Field(3, ge=0, le=9)
    """Of PNG and TIFF, as zlib counts: 6 makes files about 2 % smaller and takes about three times as long."""
    bit_depth: Literal[8, "same"] = 8
    """Of PNG and TIFF; same keeps 16 bits where the photograph has them."""
    on_color: Literal["colorize", "skip", "copy"] = "colorize"
    """Inputs already in color: colorize them too and score against the original, skip, or copy the file."""
    listing: ListingOptions = Field(default_factory=ListingOptions)
    """Which files are inputs."""
    limit: int | None = Field(None, ge=1)
    """Only the first inputs of the listing, for a first look; may be raised or lifted to go on."""
    sample: int | None = Field(None, ge=1)
    """Only so many inputs, drawn from the whole listing; may be raised or lifted to go on."""
    retry_failed: bool | list[str] = False
    """Try failed inputs again: all, or those with the statuses listed. Their new rows replace the old ones."""
    new_run: bool = False
    """Forget the run that the output holds and begin another; its images are replaced one by one."""
    max_failed_fraction: float = Field(0.05, ge=0, le=1)
    """Share of inputs that may fail before the exit code is 3."""
    max_pixels: int = Field(200_000_000, ge=1)
    """Larger photographs get the status too_large before they are decoded."""
    max_memory: ByteSize = Field(ByteSize(4_000_000_000), ge=1)
    """Of each actor, such as 4GB, for the pixels of the photographs it has at work at a time; beside it there are the
    libraries and the model, about 1 GB, and 0.1 GB for each thread. A photograph that needs more by itself gets the
    status too_large; one of 100 megapixels needs 1 GB when gray, 1.8 when gray of 16 bits, 1.7 in color."""
    working_size: int | None = Field(None, ge=32)
    """Side in pixels, about, at which the model sees photographs; the checkpoint's when left out."""
    upsampling: Literal["guided", "bilinear"] = "guided"
    """How chroma is enlarged to full size: guided by the lightness there, which keeps it within edges, or bilinear."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Of the model's arithmetic; auto is bf16 where the device is faster in it, two to three times mostly, which
    changes ab by 0.2 on average (measured with lite)."""
    actors: ActorsOptions = Field(default_factory=ActorsOptions)
    """The processes that hold the model."""
    batch_size: int = Field(32, ge=1)
    """Photographs an actor works on at once."""
    block_size: int = Field(256, ge=1)
    """Photographs per unit of resuming, at most: after a crash the blocks in flight are done again. Toward the end of
    the inputs blocks are smaller, so that the actors finish together."""
    report: bool = True
    """Write the page OUTPUT/report/index.html at the end; `colorize report OUTPUT` does so at any time."""

    @model_validator(mode="after")
    def _check(self) -> "ArchiveConfig":
        if self.limit and self.sample:
            raise ValueError("give either limit or sample")
        if isinstance(self.retry_failed, list) and (unknown := set(self.retry_failed) - set(FAILURES)):
            raise ValueError(
                f"retry_failed: no such status {', '.join(sorted(unknown))}; statuses are {', '.join(FAILURES)}"
            )
        if self.new_run and self.retry_failed:
            raise ValueError("new_run does everything again; leave retry_failed out")
        return self

    def retried_statuses(self) -> tuple[str, ...]:
        """Statuses to try again; none when nothing is to be retried."""
        if isinstance(self.retry_failed, list):
            return tuple(self.retry_failed)
        return FAILURES if self.retry_failed else ()
