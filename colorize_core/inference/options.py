"""Options of ensembles. This module does not import torch: command lines read it for `--help`."""

from collections.abc import Collection
from typing import Annotated

from pydantic import Field, model_validator

from colorize_core.errors import UserError
from colorize_core.options import Options


class EnsembleOptions(Options):
    """Mixture of the colors that several checkpoints predict: their mean, or bold colors limited around calm ones."""

    weights: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Weight of each checkpoint in the mean, by its name; equal weights when empty."""
    calm: str | None = None
    """Name of a checkpoint with reliable, calm colors. The result is the mean of the others where it is within `limit`
    of the calm color, and elsewhere the color at that distance in its direction."""
    limit: float | None = Field(None, gt=0)
    """Distance of a and b in CIELAB units, for `calm`."""

    @model_validator(mode="after")
    def _check(self) -> "EnsembleOptions":
        if (self.calm is None) != (self.limit is None):
            raise ValueError("give both calm and limit, or neither")
        if self.calm in self.weights:
            raise ValueError(f"weights: {self.calm} is calm, and not part of the mean")
        return self

    def require_members(self, names: Collection[str]) -> None:
        """Raise UserError if checkpoints of these names cannot be mixed."""
        listed = ", ".join(names)
        if len(names) < 2:
            raise UserError(f"ensemble: at least two checkpoints are needed, found {listed or 'none'}")
        if self.calm is not None and self.calm not in names:
            raise UserError(f"ensemble.calm = {self.calm!r}: not one of the checkpoints, which are {listed}")
        averaged = [name for name in names if name != self.calm]
        if self.weights and self.weights.keys() != set(averaged):
            raise UserError(
                f"ensemble.weights: has {', '.join(self.weights)}; give one weight for each of {', '.join(averaged)}"
            )
