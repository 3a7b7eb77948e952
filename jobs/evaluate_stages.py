"""What `evaluate` runs in Ray's workers: exact pixels to scores."""

import numpy as np
import torch

from cluster.storage import open_storage
from colorize_core import evaluation
from colorize_core.checkpoint import load_checkpoint
from colorize_core.metrics import LPIPS
from jobs.evaluate import EvaluateConfig, name_checkpoints
from jobs.progress import Progress


class ScoreActor:
    """Holds every model; scores a batch of photographs with each, and the baselines."""

    def __init__(
        self, config: EvaluateConfig, constant: tuple[float, float], with_lpips: bool, progress: Progress
    ) -> None:
        """Load the checkpoints, and LPIPS where its weights are at hand."""
        self._device = torch.device("cuda" if config.gpus else "cpu")
        self._models = {}
        for name, location in name_checkpoints(config.checkpoint).items():
            store = open_storage(location, config.storage)
            model, loaded = load_checkpoint(store.path(), store.filesystem)
            self._models[name] = (model.to(self._device), loaded.working_size)
        self._lpips = None
        if with_lpips and config.lpips.backbone != "none":
            self._lpips = LPIPS(config.lpips.backbone, config.lpips.weights).to(self._device)
        self._constant, self._progress = constant, progress

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Columns key and rgb (B, 3, S, S) uint8 to one row per photograph and model: key, model, metrics."""
        rgb = torch.from_numpy(np.array(batch["rgb"])).to(self._device)
        columns: dict[str, list[np.ndarray]] = {"key": [], "model": []}
        for name, predicted in evaluation.predictions(self._models, rgb, self._constant).items():
            columns["key"].append(batch["key"])
            columns["model"].append(np.full(len(rgb), name))
            for metric, values in evaluation.score(predicted, rgb, self._lpips).items():
                columns.setdefault(metric, []).append(values.cpu().double().numpy())
        self._progress.add(len(rgb))
        return {
            name: np.concatenate([part.astype(object) if part.dtype.kind in "UO" else part for part in parts])
            for name, parts in columns.items()
        }
