"""Configuration of `colorize evaluate`."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from cluster.config.loading import Section
from colorize_core.errors import UserError
from colorize_core.evaluation.protocols import PROTOCOLS
from colorize_core.inference.options import EnsembleOptions
from colorize_core.metrics.registry import FURTHER, MAIN, InceptionVariant, metrics_of, papers
from jobs.command.config import Output, PipelineJobConfig
from jobs.run.actors import ActorsOptions
from jobs.run.weights_config import FidOptions

if TYPE_CHECKING:
    ProtocolName = str
else:
    ProtocolName = Literal[tuple(PROTOCOLS)]

CheckpointLocations = str | Sequence[str] | Mapping[str, str]
"""Checkpoint directory, several of them, or directories by name."""

_RENAMED_DEFINITIONS = {"seed-000": "gray-to-glory", "seed-002": "unet-gan", "seed-003": "resnet18-losses"}
_METRICS = ", ".join(metric.title for table in (MAIN, FURTHER) for metric in metrics_of(table))


class LpipsOptions(Section):
    """Perceptual similarity. The weights of its backbone are not part of the package."""

    backbone: Literal["vgg", "alex", "none"] = "vgg"
    """Backbone of LPIPS: vgg (as in Gray to Glory), alex (as in most papers), or none to leave the metric out."""
    weights: str | None = None
    """Path or URI of the torchvision state dict of vgg16 or alexnet. It is downloaded when empty."""

    def network(self) -> Literal["vgg", "alex"]:
        """Return the backbone of a configuration that has one."""
        assert self.backbone != "none"
        return self.backbone


class EvaluateConfig(PipelineJobConfig):
    """Score checkpoints on the original pixels of the test split of a dataset, with trivial baselines and an upper
    bound for comparison.

    OUTPUT contains table.md, metrics.json (values and 95% bootstrap intervals), per_image.parquet, grid.png and
    report/index.html.
    """

    shards: str
    """Dataset written by `prepare`."""
    checkpoint: str | list[str] | dict[str, str]
    """Checkpoint directory, a list of them, or a mapping of the names in the table to directories. `starter` is the
    checkpoint that comes with the project."""
    output: Output
    """Directory or URI of the results."""
    ensemble: EnsembleOptions | None = None
    """Mixture of the predictions of all checkpoints, as a further row of the table: {} for their mean. No such row when
    empty."""
    split: Literal["test", "val"] = "test"
    """Split of the dataset to score."""
    definitions: list[str] = Field(
        default_factory=list,
        description=f"Papers whose metrics are computed by their own definitions as well, each paper in its own table: "
        f"{', '.join(papers())}. Metrics that are always computed: {_METRICS}.",
    )
    lpips: LpipsOptions = Field(default_factory=LpipsOptions)
    """Perceptual similarity."""
    fid: FidOptions = Field(default_factory=FidOptions)
    """FID and KID."""
    reference: str | None = None
    """Dataset written by `prepare` with other photographs, with whose split of the same name FID and KID compare; the
    scored photographs themselves when empty."""
    protocol: ProtocolName | None = None
    """Protocol of published tables (docs/reference/metrics.md), which fixes the number of photographs, how they are
    made square, and what FID compares by which network. Other photographs are refused."""
    engine: Literal["torch", "openvino"] = "torch"
    """What runs the models, in float32. OpenVINO is faster on CPUs (pip install 'colorize[openvino]'), and changes ab
    by less than 0.001 on average (measured with the starter weights)."""
    batch_size: int = Field(16, ge=1)
    """Number of photographs per batch."""
    actors: ActorsOptions = Field(default_factory=ActorsOptions)
    """Processes that hold the models."""
    resamples: int = Field(1000, ge=100)
    """Number of bootstrap resamples for the intervals."""
    grid_rows: int = Field(8, ge=1)
    """Number of photographs in the sample grid."""
    report: bool = True
    """Write the page OUTPUT/report/index.html at the end. `colorize report OUTPUT` writes it at any later time."""

    @property
    def inception(self) -> InceptionVariant:
        """Variant of the Inception network: that of the protocol, if there is one."""
        return PROTOCOLS[self.protocol].inception if self.protocol else self.fid.inception

    @property
    def inception_side(self) -> int | None:
        """Side to which images are reduced before FID by the protocol."""
        return PROTOCOLS[self.protocol].inception_side if self.protocol else None

    @model_validator(mode="after")
    def _check(self) -> "EvaluateConfig":
        if self.reference and not self.fid.weights:
            raise ValueError("reference has no effect without fid.weights")
        if not self.protocol:
            return self
        if "inception" in self.fid.model_fields_set and self.fid.inception != self.inception:
            raise ValueError(f"fid.inception: the protocol {self.protocol} uses {self.inception}")
        if PROTOCOLS[self.protocol].reference and not self.reference:
            raise ValueError(f"the protocol {self.protocol} compares with other photographs: give reference=DATASET")
        if self.reference and not PROTOCOLS[self.protocol].reference:
            raise ValueError(f"reference: the protocol {self.protocol} compares with the scored photographs")
        return self

    @field_validator("definitions", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
        for name in names if isinstance(names, list) else []:
            if name in _RENAMED_DEFINITIONS:
                raise ValueError(f"{name} is now called {_RENAMED_DEFINITIONS[name]}")
            if name not in papers():
                raise ValueError(f"{name} is unknown; choose from {', '.join(papers())}")
        return names


def name_checkpoints(checkpoint: CheckpointLocations) -> dict[str, str]:
    """Return the locations of checkpoints by name: the given one, or the run's folder, or RUN/FOLDER if runs clash."""
    if isinstance(checkpoint, Mapping):
        return dict(checkpoint)
    locations = [checkpoint] if isinstance(checkpoint, str) else checkpoint
    if not locations:
        raise UserError("checkpoint: the list is empty")
    paths = [PurePosixPath(location.rstrip("/")) for location in locations]
    runs = [path.parent.name if path.name in ("best", "last") else path.name for path in paths]
    names = [run if runs.count(run) == 1 else f"{run}/{path.name}" for run, path in zip(runs, paths, strict=True)]
    if len(set(names)) < len(names):
        raise UserError(
            "checkpoint: two checkpoints would have the same name; name them (checkpoint: {NAME: DIRECTORY})"
        )
    return dict(zip(names, locations, strict=True))
