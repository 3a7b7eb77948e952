"""Files that rank 0 writes after each epoch: metrics, sample grids, best and last checkpoints."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from cluster.storage.stores import Storage
from colorize_core.checkpoint.weights import checkpoint_files
from colorize_core.evaluation.sample_grid import sample_grid
from colorize_core.models.base import ColorModel
from jobs.train.outputs.metrics_file import SCORES, write_metrics
from jobs.train.outputs.trackers import Tracker, TrackingError

_log = logging.getLogger(__name__)


class RunWriter:
    """Writes OUTPUT/metrics.csv, samples/, best/ and last/, and records each epoch in the trackers."""

    def __init__(
        self, output: Storage, epochs: int, trackers: Sequence[Tracker], rows: Sequence[Mapping[str, float]]
    ) -> None:
        """Continue after the epochs of `rows`; output of later epochs, from a lost attempt, is replaced.

        Args:
            output: output of the run.
            epochs: number of epochs in the whole run.
            trackers: trackers that have been started.
            rows: rows of metrics.csv in the last checkpoint.
        """
        self._output, self._epochs, self._trackers = output, epochs, trackers
        self._rows = list(rows)

    def epoch(self, row: Mapping[str, float], *, remaining: str, improved: bool) -> None:
        """Record an epoch and log a line; `remaining` is the estimated time, `improved` True for the best so far."""
        self._rows.append(row)
        write_metrics(self._output, self._rows)
        for tracker in self._trackers:
            try:
                tracker.log(row)
            except TrackingError as error:
                _log.warning("%s", error)
        _log.info("%s", epoch_line(row, self._epochs, remaining, improved=improved))

    def samples(self, epoch: int, columns: Mapping[str, Tensor]) -> None:
        """Write the sample grid of an epoch; columns are (N, 3, S, S) uint8."""
        grid = sample_grid({name: images.cpu().numpy() for name, images in columns.items()})
        self._output.write(f"samples/epoch_{epoch:04d}.png", grid, "image/png")

    def checkpoints(self, model: ColorModel, working_size: int, training: dict[str, Any], *, improved: bool) -> None:
        """Write last/, and best/ if the epoch is the best so far."""
        files = checkpoint_files(model, working_size, training)
        for folder in ("last", "best") if improved else ("last",):
            for name, data in files.items():
                self._output.write(f"{folder}/{name}", data)

    def close(self) -> None:
        """Close the trackers."""
        for tracker in self._trackers:
            tracker.close()


def epoch_line(row: Mapping[str, float], epochs: int, remaining: str, *, improved: bool) -> str:
    """Return an epoch in one line: losses, scores with those of gray, images/s, remaining time, `best` if improved."""
    parts = [f"epoch {row['epoch']:{len(str(epochs))}.0f}/{epochs}", f"loss {row['loss']:.4f}"]
    if "discriminator" in row:
        parts.append(f"adversarial {row['adversarial']:.3f}  discriminator {row['discriminator']:.3f}")
    parts += [
        f"{score.label} {score.format(row[score.name], unit=True)} (gray {score.format(row[f'gray_{score.name}'])})"
        for score in SCORES
        if score.name in row
    ]
    parts.append(f"{row['images_per_second']:.0f} images/s")
    if row["epoch"] < epochs:
        parts.append(f"{remaining} left")
    return "  ".join([*parts, "best"] if improved else parts)
