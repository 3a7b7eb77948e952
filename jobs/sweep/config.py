"""Configuration of `colorize sweep`."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator, model_validator

from cluster.config.keys import CHANGEABLE
from colorize_core.formatting import flatten
from jobs.command.config import Output, StorageJobConfig

OWN_KEYS = ("output", "ray", "storage", "log")
"""Keys that the sweep sets for its trials, which therefore cannot vary."""


class SweepConfig(StorageJobConfig):
    """Train once for each combination of values and compare the results. The same command continues an interrupted
    sweep and repeats failed trials.

    OUTPUT contains trials/KEY=VALUE,... (a training run each), comparison.md, comparison.csv and curves.png.
    """

    shards: str
    """Dataset written by `prepare`, with the splits train and val."""
    output: Output
    """Directory or URI of the trials and their comparison."""
    train: dict[str, Any]
    """Keys of `train` with the same value in all trials."""
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
        for key in self.train.keys() & {*OWN_KEYS, "shards"}:
            raise ValueError(f"train.{key} has no effect: set {key} of the sweep instead")
        for grid in self.grid:
            if not grid:
                raise ValueError("grid: give keys of train with lists of values, such as optim.lr: [0.0001, 0.001]")
            for key, values in grid.items():
                if not values:
                    raise ValueError(f"grid: {key} has no values")
                if key.split(".")[0] in OWN_KEYS:
                    raise ValueError(f"grid: {key} cannot vary, because the sweep sets it")
        return self
