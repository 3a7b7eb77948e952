"""Ray actor of `colorize evaluate`: predictions and their metrics per image."""

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from colorize_core.data.shards import DatasetInfo
from colorize_core.evaluation import scoring
from colorize_core.inference.engines import Engine
from colorize_core.inference.openvino_network import open_network
from colorize_core.inference.prediction import Network
from colorize_core.metrics import LPIPS, InceptionFeatures
from colorize_core.runtime.memory import retain_freed_memory
from jobs.evaluate.config import EvaluateConfig
from jobs.evaluate.models import TRUTH, load_models
from jobs.run.progress import ClusterCounter

FEATURES = "features"
"""Column of Inception features; those of the photographs are rows of the model `TRUTH`."""


def load_inception(config: EvaluateConfig, weights: str | None) -> InceptionFeatures:
    """Load the network of FID as configured."""
    return InceptionFeatures(weights, config.inception, config.inception_side)


class FeatureActor:
    """Computes the features of photographs with which FID and KID compare."""

    def __init__(self, config: EvaluateConfig, weights: str | None, seen: ClusterCounter) -> None:
        """Load the network of FID."""
        retain_freed_memory(everything=True)
        self._device = torch.device("cuda" if config.actors.gpus else "cpu")
        torch.backends.cudnn.allow_tf32 = False
        self._inception, self._seen = load_inception(config, weights).to(self._device), seen

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Turn the columns key and rgb into key and features."""
        pixels = batch.column("rgb").combine_chunks().to_numpy_ndarray().copy()
        features = feature_column(self._inception(torch.from_numpy(pixels).to(self._device)))
        self._seen.add(len(batch))
        return pa.table({"key": batch.column("key").combine_chunks(), FEATURES: features})


def feature_column(features: Tensor) -> pa.Array:
    """Return features (B, D) as a column of lists."""
    values = features.cpu().numpy().astype(np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


class ScoreActor:
    """Holds all models, and scores batches of photographs with each model and each baseline."""

    def __init__(self, config: EvaluateConfig, dataset: DatasetInfo, with_lpips: bool, scored: ClusterCounter) -> None:
        """Load the checkpoints, and the networks of LPIPS and FID if they are computed."""
        retain_freed_memory(everything=True)
        self._device = torch.device("cuda" if config.actors.gpus else "cpu")
        torch.backends.cudnn.allow_tf32 = False  # full float32 convolutions, for the same digits on GPU and CPU
        loaded = load_models(config.checkpoint, config.storage)
        self._models = {
            name: (self._network(model, config.engine), own.working_size) for name, (model, own) in loaded.items()
        }
        lpips = LPIPS(config.lpips.network(), config.lpips.weights).to(self._device) if with_lpips else None
        self._score = scoring.Scorer(dataset.color_prior, lpips, config.definitions)
        source = config.fid.source()
        self._inception = load_inception(config, source.location).to(self._device) if source else None
        self._constant, self._ensemble, self._scored = dataset.ab_median, config.ensemble, scored

    def _network(self, model: nn.Module, engine: Engine) -> Network:
        model = model.to(self._device)
        return open_network(model, self._device, "fp32", engine) or model

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Score a batch.

        Args:
            batch: columns key and rgb.

        Returns:
            One row per photograph and model: key, model, metrics per image, and the features if FID is computed.
        """
        pixels = batch.column("rgb").combine_chunks()
        rgb = torch.from_numpy(pixels.to_numpy_ndarray().copy()).to(self._device)
        keys = batch.column("key").combine_chunks()
        parts = []
        predicted = scoring.predictions(self._models, rgb, self._constant, self._ensemble)
        L, _ = scoring.split_rgb(rgb)
        for name, scores in self._score(predicted, rgb).items():
            image = scoring.assemble(L, predicted[name]) if self._inception else None
            parts.append(self._rows(keys, name, scores, image))
        if self._inception:
            no_scores = {metric: torch.full((len(rgb),), float("nan")) for metric in scores}
            parts.append(self._rows(keys, TRUTH, no_scores, rgb))
        self._scored.add(len(rgb))
        return pa.concat_tables(parts)

    def _rows(self, keys: pa.Array, name: str, scores: dict[str, Tensor], image: Tensor | None) -> pa.Table:
        columns = {"key": keys, "model": pa.array([name] * len(keys))}
        columns |= {metric: pa.array(values.cpu().double().numpy()) for metric, values in scores.items()}
        if self._inception and image is not None:
            columns[FEATURES] = feature_column(self._inception(image))
        return pa.table(columns)
