"""Scores of the model on the validation split, and sample images."""

from collections import defaultdict

import torch
from torch import Tensor, nn

from colorize_core.data.shards import read_batches
from colorize_core.evaluation import scoring
from colorize_core.inference.prediction import colorize_lightness
from colorize_core.metrics.registry import validation_metrics
from colorize_core.runtime.precision import autocast
from jobs.train.worker import Worker


class Validator:
    """Scores each photograph of the validation split once; every rank scores a share of them."""

    def __init__(self, worker: Worker) -> None:
        """Load the Inception network if FID is configured; raises UserError if its weights cannot be loaded."""
        self._worker = worker
        self._autocast = autocast(worker.config.optim.precision, worker.device)
        self._inception: nn.Module | None = None
        if source := worker.config.fid.source():
            from colorize_core.metrics.distribution import InceptionFeatures

            self._inception = InceptionFeatures(source.location, worker.config.fid.inception).to(worker.device)
        self._true_features: Tensor | None = None

    def baseline(self) -> dict[str, float]:
        """Return the scores of gray images."""
        return self.scores(None)

    def scores(self, model: nn.Module | None) -> dict[str, float]:
        """Return the mean metrics of a model, with FID if configured; without a model, of gray images."""
        worker = self._worker
        sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), dtype=torch.float64, device=worker.device))
        made: list[Tensor] = []
        true: list[Tensor] = []
        if model:
            model.eval()
        for group in read_batches(
            worker.files(), worker.shards.filesystem, columns=["rgb"], rank=worker.rank, world_size=worker.world_size
        ):
            for rgb in torch.from_numpy(group["rgb"]).split(worker.config.optim.batch_size):
                rgb = rgb.to(worker.device)
                L, ab = scoring.split_rgb(rgb)
                predicted = self._predict(model, L) if model else torch.zeros_like(ab)
                for name, values in scoring.score(predicted, rgb).items():
                    sums[name] += values.sum()
                sums["rows"] += len(rgb)
                if self._inception:
                    made.append(self._inception(scoring.assemble(L, predicted)).cpu())
                    if self._true_features is None:
                        true.append(self._inception(rgb).cpu())
        if model:
            model.train()
        # The names come from the registry, because a rank without rows of a small split has none in `sums`.
        names = [metric.name for metric in validation_metrics()]
        totals = worker.sum(torch.stack([sums[name] for name in (*names, "rows")]))
        return {name: (totals[i] / totals[-1]).item() for i, name in enumerate(names)} | self._fid(made, true)

    def _predict(self, model: nn.Module, L: Tensor) -> Tensor:
        """Predict ab in the precision of training; scores are float32."""
        with self._autocast():
            return colorize_lightness(model, L, self._worker.dataset.size)

    def _fid(self, made: list[Tensor], true: list[Tensor]) -> dict[str, float]:
        """Return FID by name; empty if it is not configured."""
        if not self._inception:
            return {}
        from colorize_core.metrics.distribution import fid

        if self._true_features is None:
            self._true_features = self._collect(true)
        all_made = self._collect(made)
        value = fid(self._true_features, all_made) if self._worker.is_rank_zero else 0.0
        return {"fid": self._worker.broadcast(value)}

    def _collect(self, features: list[Tensor]) -> Tensor:
        """Return the features of all ranks, (N, 2048)."""
        own = torch.cat(features) if features else torch.empty(0, 2048)
        return torch.cat(self._worker.gather(own))

    def samples(self, model: nn.Module) -> dict[str, Tensor]:
        """Return gray, colorized and true images of the first photographs of the split, (N, 3, S, S) uint8."""
        worker = self._worker
        first = next(read_batches(worker.files()[:1], worker.shards.filesystem, columns=["rgb"]))["rgb"]
        rgb = torch.from_numpy(first)[: worker.config.optim.samples].to(worker.device)
        L, ab = scoring.split_rgb(rgb)
        model.eval()
        predicted = self._predict(model, L)
        model.train()
        return {
            "gray": scoring.assemble(L, torch.zeros_like(ab)),
            "colorized": scoring.assemble(L, predicted),
            "truth": rgb,
        }
