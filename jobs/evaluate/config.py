"""What can be said of an evaluation."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import Field, field_validator

from cluster.config.loading import Section
from colorize_core.errors import UserError
from jobs.command.config import Output, PipelineJobConfig
from jobs.run.actors import ActorsOptions
from jobs.run.weights_config import FidOptions

Definition = Literal["gray-to-glory", "unet-gan", "resnet18-losses"]
_RENAMED_DEFINITIONS = {"seed-000": "gray-to-glory", "seed-002": "unet-gan", "seed-003": "resnet18-losses"}


class LpipsOptions(Section):
    """Perceptual similarity; its backbone's weights are not part of the package."""

    backbone: Literal["vgg", "alex", "none"] = "vgg"
    """Network: vgg (Gray to Glory), alex (the usual one in papers), or none to leave the column out."""
    weights: str | None = None
    """Path or URI of torchvision's state dict of vgg16 or alexnet; downloaded when empty."""

    def network(self) -> Literal["vgg", "alex"]:
        """The backbone, where there is one."""
        assert self.backbone != "none"
        return self.backbone


class EvaluateConfig(PipelineJobConfig):
    """Score checkpoints on the exact pixels of a dataset's test split, beside trivial baselines and the ceiling.

    OUTPUT holds table.md, metrics.json (values and 95% bootstrap intervals), per_image.parquet, grid.png and
    report/index.html.
    """

    shards: str
    """Dataset of `prepare`."""
    checkpoint: str | list[str] | dict[str, str]
    """One directory, a list of them, or directories by the name each has in the table; starter is the one that comes
    with the project."""
    output: Output
    """Where the results go."""
    split: Literal["test", "val"] = "test"
    """Which photographs."""
    definitions: list[Definition] = Field(default_factory=list)
    """Papers whose metrics are added as each computed them: gray-to-glory, unet-gan, resnet18-losses."""
    lpips: LpipsOptions = Field(default_factory=LpipsOptions)
    """Perceptual similarity."""
    fid: FidOptions = Field(default_factory=FidOptions)
    """FID and KID."""
    batch_size: int = Field(16, ge=1)
    """Photographs at once."""
    actors: ActorsOptions = Field(default_factory=ActorsOptions)
    """The processes that hold the models."""
    resamples: int = Field(1000, ge=100)
    """Bootstrap resamples behind the intervals."""
    grid_rows: int = Field(8, ge=1)
    """Photographs in the sample grid."""
    report: bool = True
    """Write the page OUTPUT/report/index.html at the end; `colorize report OUTPUT` does so at any time."""

    @field_validator("definitions", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
        for name in names if isinstance(names, list) else []:
            if name in _RENAMED_DEFINITIONS:
                raise ValueError(f"{name} is now called {_RENAMED_DEFINITIONS[name]}")
        return names


def name_checkpoints(checkpoint: str | Sequence[str] | dict[str, str]) -> dict[str, str]:
    """Location by the name in the table: the given one, or the run's folder, with the checkpoint's where both clash."""
    if isinstance(checkpoint, dict):
        return checkpoint
    locations = [checkpoint] if isinstance(checkpoint, str) else checkpoint
    if not locations:
        raise UserError("checkpoint: the list is empty")
    paths = [PurePosixPath(location.rstrip("/")) for location in locations]
    runs = [path.parent.name if path.name in ("best", "last") else path.name for path in paths]
    names = [run if runs.count(run) == 1 else f"{run}/{path.name}" for run, path in zip(runs, paths, strict=True)]
    if len(set(names)) < len(names):
        raise UserError("checkpoint: two checkpoints would have one name; give names (checkpoint: {NAME: DIRECTORY})")
    return dict(zip(names, locations, strict=True))
