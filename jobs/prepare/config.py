"""Configuration of `colorize prepare`."""

from typing import Literal

from pydantic import Field, model_validator

from colorize_core.photo.options import MAX_PIXELS
from jobs.command.config import Output, PipelineJobConfig
from jobs.inputs.listing import ListingOptions


class PrepareConfig(PipelineJobConfig):
    """Convert a folder or URI of color photographs (jpg, png, webp, tiff) into Lab shards for training.

    Exact duplicates and nearly gray photographs (unless screen is false) and files that cannot be decoded are rejected
    and listed with the reason in OUTPUT/rejects.parquet.
    """

    source: str
    """Folder or URI (s3://, gs://, az://) of the photographs."""
    output: Output
    """Folder or URI (s3://, gs://, az://) for the dataset; must be empty."""
    size: int = Field(256, ge=32, multiple_of=32)
    """Side of the square images in pixels, a multiple of 32."""
    resize: Literal["squash", "crop"] = "crop"
    """Conversion to squares: squash the whole photograph, or crop its central square."""
    split: Literal["hash", "folders"] = "hash"
    """Assignment to splits: by a hash of the content, or by subfolders named train, val and test."""
    val_fraction: float = Field(0.05, ge=0, lt=1)
    """Fraction of the photographs for validation, with split=hash."""
    test_fraction: float = Field(0.05, ge=0, lt=1)
    """Fraction of the photographs for the final test, with split=hash."""
    screen: bool = True
    """Reject exact duplicates and nearly gray photographs, from which a model learns nothing. With false they are kept,
    as tables of papers over a fixed list of photographs require."""
    listing: ListingOptions = Field(default_factory=ListingOptions)
    """Selection of the inputs."""
    rows_per_shard: int = Field(512, ge=1)
    """Photographs per Parquet file."""
    max_pixels: int = Field(MAX_PIXELS, ge=1)
    """Maximum pixels of a photograph; larger ones are rejected before they are decoded."""

    @model_validator(mode="after")
    def _check(self) -> "PrepareConfig":
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError("val_fraction and test_fraction leave nothing for training")
        if self.split == "folders" and self.model_fields_set & {"val_fraction", "test_fraction"}:
            raise ValueError("val_fraction and test_fraction have no effect with split=folders")
        return self
