"""What `evaluate` runs in Ray's workers: exact pixels to scores."""

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from colorize_core.data.shards import DatasetInfo
from colorize_core.evaluation import scoring as evaluation
from colorize_core.metrics import LPIPS, InceptionFeatures
from colorize_core.runtime.memory import retain_freed_memory
from jobs.evaluate.config import EvaluateConfig, name_checkpoints
from jobs.evaluate.report import TRUTH
from jobs.run.checkpoints import read_checkpoint
from jobs.run.progress import Progress

FEATURES = "features"
"""Column that holds features; those of the photographs themselves are rows of the model TRUTH."""


class ScoreActor:
    """Holds every model; scores a batch of photographs with each, and the baselines."""

    def __init__(self, config: EvaluateConfig, dataset: DatasetInfo, with_lpips: bool, progress: Progress) -> None:
        """Load the checkpoints, and the networks of LPIPS and FID where they are wanted and at hand."""
        retain_freed_memory(everything=True)
        self._device = torch.device("cuda" if config.actors.gpus else "cpu")
        torch.backends.cudnn.allow_tf32 = False  # convolutions in all of float32, on GPUs too: the same digits
        self._models = {}
        for name, location in name_checkpoints(config.checkpoint).items():
            model, loaded = read_checkpoint(location, config.storage)
            self._models[name] = (model.to(self._device), loaded.working_size)
        lpips = LPIPS(config.lpips.network(), config.lpips.weights).to(self._device) if with_lpips else None
        self._score = evaluation.Scorer(dataset.color_prior, lpips, config.definitions)
        source = config.fid.source()
        self._inception = InceptionFeatures(source.path).to(self._device) if source else None
        self._constant, self._progress = dataset.ab_median, progress

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Columns key and rgb to one row per photograph and model: key, model, scores, and features where wanted."""
        pixels = batch.column("rgb").combine_chunks()
        rgb = torch.from_numpy(pixels.to_numpy_ndarray().copy()).to(self._device)
        keys = batch.column("key").combine_chunks()
        parts = []
        predicted = evaluation.predictions(self._models, rgb, self._constant)
        L, _ = evaluation.split_rgb(rgb)
        for name, scores in self._score(predicted, rgb).items():
            image = evaluation.assemble(L, predicted[name]) if self._inception else None
            parts.append(self._rows(keys, name, scores, image))
        if self._inception:
            nothing = {metric: torch.full((len(rgb),), float("nan")) for metric in scores}
            parts.append(self._rows(keys, TRUTH, nothing, rgb))
        self._progress.add(len(rgb))
        return pa.concat_tables(parts)

    def _rows(self, keys: pa.Array, name: str, scores: dict[str, Tensor], image: Tensor | None) -> pa.Table:
        columns = {"key": keys, "model": pa.array([name] * len(keys))}
        columns |= {metric: pa.array(values.cpu().double().numpy()) for metric, values in scores.items()}
        if self._inception and image is not None:
            features = self._inception(image).cpu().numpy().astype(np.float32)
            columns[FEATURES] = pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1)), features.shape[1])
        return pa.table(columns)
