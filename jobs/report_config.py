"""What can be said of a report."""

from typing import Any

from pydantic import Field, field_validator, model_validator

from cluster.storage.stores import StorageOptions
from jobs.command.config import VerbConfig


class ReportConfig(VerbConfig):
    """Write the web page RUN/report/index.html of archive runs and evaluations: `colorize report RUN...`.

    The page opens from a folder, from S3 static hosting or over HTTP. That of an evaluation leads to a page for blind
    ratings; `colorize report --ratings FILE...` turns the files it saves into preference rates, and
    `colorize report RUN --ratings FILE...` shows them on the page as well.
    """

    run: list[str] = Field(default_factory=list)
    """Outputs of archive or evaluate, local or s3://; the words before the first key."""
    ratings: list[str] = Field(default_factory=list)
    """Files saved by the rating page of one evaluation, one for each rater."""
    pictures: int | None = Field(None, ge=1, le=2000)
    """Size of the fair sample on the page; 120 of an archive and 24 of an evaluation when left out."""
    storage: StorageOptions = Field(default_factory=StorageOptions)
    """How to reach S3."""

    @field_validator("run", "ratings", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> "ReportConfig":
        if not self.run and not self.ratings:
            raise ValueError("say of which run: colorize report RUN, an output of archive or evaluate")
        if self.ratings and len(self.run) > 1:
            raise ValueError("ratings are of one evaluation; give one run")
        return self
