"""Configuration of `colorize sweep`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, create_model, field_validator, model_validator

from cluster.config.keys import CHANGEABLE, meaning
from colorize_core.formatting import flatten
from jobs.command.config import Output, StorageJobConfig
from jobs.train.config import TrainConfig

OWN_KEYS = ("output", "ray", "storage", "log")
"""Keys that the sweep sets for its trials, which therefore cannot vary."""
SECTIONS = tuple(name for name in TrainConfig.model_fields if name not in ("shards", *OWN_KEYS))
"""Sections of `train` that a sweep takes under the same names."""


if TYPE_CHECKING:
    _Sections = StorageJobConfig
else:
    _Sections = create_model(
        "_Sections",
        __base__=StorageJobConfig,
        __module__=__name__,
        **{
            name: (dict[str, Any], Field(default_factory=dict, description=meaning(TrainConfig.model_fields[name])))
            for name in SECTIONS
        },
    )


class SweepConfig(_Sections):
    """Train once for each combination of values and compare the results. The same command continues an interrupted
    sweep and repeats failed trials.

    The sections of `train` have the values that all trials share; `colorize train --help` lists their keys. OUTPUT
    contains trials/KEY=VALUE,... (a training run each), comparison.md, comparison.csv and curves.png.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {"train": ""}

    shards: str
    """Dataset written by `prepare`, with the splits train and val."""
    output: Output
    """Directory or URI of the trials and their comparison."""
    grid: list[dict[str, list[Any]]] = Field(min_length=1, json_schema_extra=CHANGEABLE)
    """Lists of values by key of `train`, such as optim.lr: [1e-4, 1e-3]; every combination is a trial. In a list of
    such grids each grid has its own combinations; one that occurs twice is trained once. Values may be added later."""

    @field_validator("grid", mode="before")
    @classmethod
    def _as_list(cls, grid: Any) -> Any:
        """Turn one grid into a list of one, and nested keys into dotted ones."""
        grids = grid if isinstance(grid, list) else [grid]
        return [flatten(each) if isinstance(each, Mapping) else each for each in grids]

    @model_validator(mode="after")
    def _check(self) -> "SweepConfig":
        for grid in self.grid:
            if not grid:
                raise ValueError("grid: give keys of train with lists of values, such as optim.lr: [0.0001, 0.001]")
            for key, values in grid.items():
                if not values:
                    raise ValueError(f"grid: {key} has no values")
                if key.split(".")[0] in OWN_KEYS:
                    raise ValueError(f"grid: {key} cannot vary, because the sweep sets it")
        return self

    @property
    def shared(self) -> dict[str, Any]:
        """Values of `train` that all trials share, by section; those that are not given are left out."""
        return {name: values for name in SECTIONS if (values := getattr(self, name))}
