"""Curves of a training run for TensorBoard."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.storage.stores import LocalStorage, Storage

_FOLDER = "tensorboard"


class TensorBoardTracker:
    """Writes OUTPUT/tensorboard/; on S3 the event file is uploaded after each epoch."""

    def __init__(self, output: Storage) -> None:
        """Take the output of the run."""
        self._output = output
        self._is_local = isinstance(output, LocalStorage)

    def start(self, parameters: Mapping[str, Any], epochs: int) -> None:
        """See `Tracker`; parameters are not recorded."""
        from torch.utils.tensorboard import SummaryWriter

        self._folder = Path(self._output.path(_FOLDER) if self._is_local else tempfile.mkdtemp(prefix="tensorboard-"))
        self._writer = SummaryWriter(str(self._folder), purge_step=epochs + 1)

    def log(self, row: Mapping[str, float]) -> None:
        """See `Tracker`."""
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, int(row["epoch"]))
        self._writer.flush()
        if not self._is_local:
            for file in self._folder.iterdir():
                self._output.write(f"{_FOLDER}/{file.name}", file.read_bytes())

    def close(self) -> None:
        """See `Tracker`."""
        self._writer.close()
