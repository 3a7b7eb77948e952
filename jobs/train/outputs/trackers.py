"""Interface of experiment trackers."""

from collections.abc import Mapping
from typing import Any, Protocol


class TrackingError(Exception):
    """A row was not recorded; the message is one line. Training continues."""


class Tracker(Protocol):
    """A place that records the metrics of a training run, such as TensorBoard or MLflow."""

    def start(self, parameters: Mapping[str, Any], epochs: int) -> None:
        """Start a run, or continue it after some epochs.

        Args:
            parameters: resolved configuration.
            epochs: completed epochs; records of later epochs, of a lost attempt, are replaced.

        Raises:
            UserError: the tracker is not installed or does not answer.
        """

    def log(self, row: Mapping[str, float]) -> None:
        """Record a row of metrics.csv; raises TrackingError if that fails."""

    def close(self) -> None:
        """Mark the run as finished."""
