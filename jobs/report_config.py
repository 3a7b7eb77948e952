"""Configuration of `colorize report`."""

from pydantic import Field, model_validator

from cluster.storage.stores import StorageOptions
from jobs.command.config import OneOrMany, VerbConfig


class ReportConfig(VerbConfig):
    """Write the page RUN/report/index.html of archive runs and evaluations: `colorize report RUN...`.

    The page can be opened from a folder, from S3 static hosting or over HTTP. The page of an evaluation links to a page
    for blind ratings; `colorize report --ratings FILE...` computes preference rates from the files that it saves, and
    `colorize report RUN --ratings FILE...` also shows them on the page of the evaluation.
    """

    POSITIONAL = ("run",)

    run: OneOrMany = Field(default_factory=list)
    """Outputs of archive or evaluate, local or s3://; also given as plain arguments."""
    ratings: OneOrMany = Field(default_factory=list)
    """Files saved by the rating page of one evaluation, one per rater."""
    pictures: int | None = Field(None, ge=1, le=2000)
    """Number of photographs in the random sample on the page; default 120 for an archive, 24 for an evaluation."""
    storage: StorageOptions = Field(default_factory=StorageOptions)
    """Access to object storage."""

    @model_validator(mode="after")
    def _check(self) -> "ReportConfig":
        if not self.run and not self.ratings:
            raise ValueError("no run given; use colorize report RUN, where RUN is an output of archive or evaluate")
        if self.ratings and len(self.run) > 1:
            raise ValueError("ratings belong to one evaluation; give exactly one run")
        return self
