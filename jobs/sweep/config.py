"""Configuration of `colorize sweep`."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator, model_validator

from jobs.command.config import Output, StorageJobConfig
from jobs.run.record import flatten

OWN_KEYS = ("output", "ray", "storage")
"""Keys that a sweep sets for its trials, which therefore cannot vary."""


class SweepConfig(StorageJobConfig):
    """Train once for each combination of values and compare. The same command continues an interrupted sweep and tries
    again what failed.

    OUTPUT holds trials/KEY=VALUE,... (a training run each), comparison.md, comparison.csv and curves.png.
    """

    shards: str
    """Dataset of `prepare`, with a train and a val split."""
    output: Output
    """Where the trials go."""
    train: dict[str, Any]
    """Keys of `train` that all trials share."""
    grid: list[dict[str, list[Any]]] = Field(min_length=1)
    """Values by key of `train` (optim.lr: [1e-4, 1e-3]): every combination is a trial. A list of such grids varies one
    after the other; a combination that is in two of them is trained once. May grow when a sweep is continued."""

    @field_validator("grid", mode="before")
    @classmethod
    def _as_list(cls, grid: Any) -> Any:
        """One grid is a list of one; nested keys are the same as dotted ones, as everywhere."""
        grids = grid if isinstance(grid, list) else [grid]
        return [flatten(each) if isinstance(each, Mapping) else each for each in grids]

    @model_validator(mode="after")
    def _check(self) -> "SweepConfig":
        for key in self.train.keys() & {*OWN_KEYS, "shards"}:
            raise ValueError(f"train.{key} has no effect: {key} is a key of the sweep itself")
        for grid in self.grid:
            if not grid:
                raise ValueError("grid: give keys of train with lists of values, such as optim.lr: [0.0001, 0.001]")
            for key, values in grid.items():
                if not values:
                    raise ValueError(f"grid: {key} has no values")
                if key.split(".")[0] in OWN_KEYS:
                    raise ValueError(f"grid: {key} cannot vary")
        return self
