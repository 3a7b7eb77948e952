"""Scoring a model in training on the validation split, and the sample pictures."""

from collections import defaultdict

import torch
from torch import Tensor, nn

from colorize_core.data.shards import read_batches
from colorize_core.evaluation import scoring as evaluation
from colorize_core.inference.prediction import colorize_lightness
from colorize_core.metrics import InceptionFeatures, fid
from colorize_core.runtime.precision import autocast
from jobs.train.worker import Worker

_METRICS = ("mae_ab", "psnr", "ssim")


class Validator:
    """Scores every photograph of the validation split once, each rank some of them."""

    def __init__(self, worker: Worker) -> None:
        """Load FID's network where it is wanted; raises UserError when its weights cannot be had."""
        self._worker = worker
        self._autocast = autocast(worker.config.optim.precision, worker.device)
        source = worker.config.fid.source()
        self._inception = InceptionFeatures(source.path).to(worker.device) if source else None
        self._truth: Tensor | None = None

    def baseline(self) -> dict[str, float]:
        """The scores of leaving the photographs gray."""
        return self.scores(None)

    def scores(self, model: nn.Module | None) -> dict[str, float]:
        """Mean metrics, and FID where it is wanted; of gray photographs without a model."""
        worker = self._worker
        sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), dtype=torch.float64, device=worker.device))
        made: list[Tensor] = []
        true: list[Tensor] = []
        if model:
            model.eval()
        for group in read_batches(
            worker.files(), worker.shards.filesystem, columns=["rgb"], rank=worker.rank, world_size=worker.ranks
        ):
            for rgb in torch.from_numpy(group["rgb"]).split(worker.config.optim.batch_size):
                rgb = rgb.to(worker.device)
                L, ab = evaluation.split_rgb(rgb)
                predicted = self._predict(model, L) if model else torch.zeros_like(ab)
                for name, values in evaluation.score(predicted, rgb).items():
                    sums[name] += values.sum()
                sums["rows"] += len(rgb)
                if self._inception:
                    made.append(self._inception(evaluation.assemble(L, predicted)).cpu())
                    if self._truth is None:
                        true.append(self._inception(rgb).cpu())
        if model:
            model.train()
        # A rank without a share of a small split has seen no metric names.
        totals = worker.sum(torch.stack([sums[name] for name in (*_METRICS, "rows")]))
        scores = {name: (totals[i] / totals[-1]).item() for i, name in enumerate(_METRICS)}
        return scores | self._fid(made, true)

    def _predict(self, model: nn.Module, L: Tensor) -> Tensor:
        """Chroma of lightness, computed as in training; scores are float32."""
        with self._autocast():
            return colorize_lightness(model, L, self._worker.dataset.size)

    def _fid(self, made: list[Tensor], true: list[Tensor]) -> dict[str, float]:
        """FID by name; nothing where it is not wanted."""
        if not self._inception:
            return {}
        if self._truth is None:
            self._truth = self._collect(true)
        everything = self._collect(made)
        return {"fid": self._worker.broadcast(fid(self._truth, everything) if self._worker.is_rank_zero else 0.0)}

    def _collect(self, features: list[Tensor]) -> Tensor:
        """The features of all ranks, (N, 2048)."""
        own = torch.cat(features) if features else torch.empty(0, 2048)
        return torch.cat(self._worker.gather(own))

    def samples(self, model: nn.Module) -> dict[str, Tensor]:
        """Gray, colorized and true pictures of the first photographs of the split, (N, 3, S, S) uint8."""
        worker = self._worker
        first = next(read_batches(worker.files()[:1], worker.shards.filesystem, columns=["rgb"]))["rgb"]
        rgb = torch.from_numpy(first)[: worker.config.optim.samples].to(worker.device)
        L, ab = evaluation.split_rgb(rgb)
        model.eval()
        predicted = self._predict(model, L)
        model.train()
        return {
            "gray": evaluation.assemble(L, torch.zeros_like(ab)),
            "colorized": evaluation.assemble(L, predicted),
            "truth": rgb,
        }
