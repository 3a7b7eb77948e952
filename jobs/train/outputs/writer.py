"""What the first worker of a training run writes for people: curves, sample grids, best and last checkpoints."""

import csv
import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from cluster.storage.stores import LocalStorage, Storage
from colorize_core.checkpoint.weights import checkpoint_files
from colorize_core.evaluation.sample_grid import sample_grid
from colorize_core.models.base import ColorModel
from jobs.train.outputs.mlflow import MlflowTracker

METRICS = "metrics.csv"
SCORES = (("mae_ab", "MAE", 4, ""), ("psnr", "PSNR", 2, " dB"), ("ssim", "SSIM", 4, ""), ("fid", "FID", 1, ""))
"""Validation metrics as people read them: column, label, digits and unit."""
_TENSORBOARD = "tensorboard"


class RunWriter:
    """Writes OUTPUT/metrics.csv, tensorboard/, samples/, best/ and last/ after each epoch."""

    def __init__(
        self,
        output: Storage,
        messages: Any,
        epochs: int,
        tracker: MlflowTracker | None,
        rows: Sequence[dict[str, float]],
    ) -> None:
        """Continue after the epochs of `rows`; what a lost attempt wrote of later ones is replaced.

        Args:
            output: of the run.
            messages: queue to the terminal.
            epochs: of the whole run.
            tracker: where each epoch is recorded as well.
            rows: of metrics.csv, as the last checkpoint has them.
        """
        self._output, self._messages, self._epochs = output, messages, epochs
        self._rows = list(rows)
        self._tracker = tracker
        local = isinstance(output, LocalStorage)
        self._curves_folder = Path(output.path(_TENSORBOARD) if local else tempfile.mkdtemp(prefix="curves-"))
        self._upload_curves = not local
        self._curves = SummaryWriter(str(self._curves_folder), purge_step=len(rows) + 1)

    def epoch(self, row: dict[str, float], *, left: str, improved: bool) -> None:
        """Record an epoch and say it in one line; `left` is the time, `improved` whether it is the best so far."""
        self._rows.append(row)
        names = list(dict.fromkeys(name for each in self._rows for name in each))
        sheet = io.StringIO()
        table = csv.DictWriter(sheet, names)
        table.writeheader()
        table.writerows(self._rows)
        self._output.write(METRICS, sheet.getvalue().encode(), "text/csv")
        for name, value in row.items():
            if name != "epoch":
                self._curves.add_scalar(name, value, int(row["epoch"]))
        self._curves.flush()
        if self._upload_curves:
            for file in self._curves_folder.iterdir():
                self._output.write(f"{_TENSORBOARD}/{file.name}", file.read_bytes())
        if self._tracker and (fault := self._tracker.epoch(row)):
            self._messages.put(f"epoch {row['epoch']:.0f} is not in MLflow ({fault})")
        self._messages.put(epoch_line(row, self._epochs, left, improved=improved))

    def samples(self, epoch: int, columns: Mapping[str, Tensor]) -> None:
        """Write the sample grid of an epoch; columns are (N, 3, S, S) uint8."""
        grid = sample_grid({name: pictures.cpu().numpy() for name, pictures in columns.items()})
        self._output.write(f"samples/epoch_{epoch:04d}.png", grid, "image/png")

    def checkpoints(self, model: ColorModel, working_size: int, training: dict[str, Any], *, improved: bool) -> None:
        """Write last/, and best/ when the epoch is the best so far."""
        files = checkpoint_files(model, working_size, training)
        for folder in ("last", "best") if improved else ("last",):
            for name, data in files.items():
                self._output.write(f"{folder}/{name}", data)

    def close(self) -> None:
        """Finish the curves."""
        self._curves.close()
        if self._tracker:
            self._tracker.close()


def epoch_line(row: Mapping[str, float], epochs: int, left: str, *, improved: bool) -> str:
    """An epoch for people: losses, scores beside those of gray, pace, time left, and `best` for the best so far."""
    parts = [f"epoch {row['epoch']:{len(str(epochs))}.0f}/{epochs}", f"loss {row['loss']:.4f}"]
    if "discriminator" in row:
        parts.append(f"adversarial {row['adversarial']:.3f}  discriminator {row['discriminator']:.3f}")
    parts += [
        f"{label} {row[name]:.{digits}f}{unit} (gray {row[f'gray_{name}']:.{digits}f})"
        for name, label, digits, unit in SCORES
        if name in row
    ]
    parts.append(f"{row['images_per_second']:.0f} images/s")
    if row["epoch"] < epochs:
        parts.append(f"{left} left")
    return "  ".join([*parts, "best"] if improved else parts)
