"""What `train` runs in each of Ray Train's workers: epochs of steps, validation, checkpoints."""

import itertools
import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray.train
import ray.train.torch
import torch
import torch.distributed as dist
from torch import Tensor, nn

from cluster.storage import Storage
from colorize_core import evaluation
from colorize_core.augment import augment
from colorize_core.errors import UserError
from colorize_core.prediction import colorize_lightness
from colorize_core.shards import TRAIN, VAL, DatasetInfo, read_batches
from colorize_core.training import Batch
from jobs.console import duration
from jobs.learner import Learner, build_learner
from jobs.run_writer import RunWriter
from jobs.train_config import TrainConfig


@dataclass
class _Worker:
    """One rank: its share of the work and what it holds."""

    config: TrainConfig
    dataset: DatasetInfo
    shards: Storage
    device: torch.device
    rank: int
    world_size: int


def train_loop(setup: Mapping[str, Any]) -> None:
    """Train to the last epoch, from the last checkpoint of this run if there is one."""
    context = ray.train.get_context()
    config: TrainConfig = setup["config"]
    dataset: DatasetInfo = setup["dataset"]
    worker = _Worker(
        config,
        dataset,
        setup["shards"],
        ray.train.torch.get_device(),
        context.get_world_rank(),
        context.get_world_size(),
    )
    torch.manual_seed(config.train.seed)  # equal first weights on every rank
    batches = dataset.splits[TRAIN]["rows"] // worker.world_size // config.train.batch_size
    learner = build_learner(
        config,
        dataset.color_prior,
        workers=worker.world_size,
        steps_per_epoch=math.ceil(batches / config.train.accumulate),
    )
    progress = _resume(learner)
    scored = learner.scored
    writer = RunWriter(setup["output"], setup["messages"], progress["rows"]) if worker.rank == 0 else None
    baseline = _validate(worker, None)
    for epoch in range(progress["epoch"] + 1, config.train.epochs + 1):
        if is_exhausted(progress["rows"], config.train.patience):
            if writer:
                writer.say(f"stopped: {config.train.patience} epochs without a better validation MAE (train.patience)")
            break
        start = time.monotonic()
        losses, images = _train_epoch(worker, learner, epoch)
        seconds = time.monotonic() - start
        _share_buffers(scored)
        scores = _validate(worker, scored)
        if not math.isfinite(scores["mae_ab"]):
            raise UserError(f"epoch {epoch}: the model diverged (validation MAE {scores['mae_ab']}); lower train.lr")
        best = min(progress["best_mae_ab"], scores["mae_ab"])
        row = {
            "epoch": epoch,
            **losses,
            **scores,
            **{f"gray_{name}": value for name, value in baseline.items()},
            "images_per_second": images / seconds,
            "seconds": time.monotonic() - start,
        }
        if writer:
            left = duration((config.train.epochs - epoch) * row["seconds"])
            writer.samples(epoch, _samples(worker, scored))
            training = {"epoch": epoch, "metrics": scores, "gray": baseline, "losses": losses}
            writer.checkpoints(scored, dataset.size, training, improved=best < progress["best_mae_ab"])
            writer.epoch(row, epochs=config.train.epochs, left=left)
        progress = {"epoch": epoch, "best_mae_ab": best, "rows": [*progress["rows"], row]}
        _report(worker, learner, row, progress, scores)
    if writer:
        writer.close()


def is_exhausted(rows: Sequence[Mapping[str, float]], patience: int | None) -> bool:
    """Whether the last `patience` epochs were no better than one before them, by validation MAE."""
    scores = [row["mae_ab"] for row in rows]
    return patience is not None and len(scores) > patience and min(scores[-patience:]) >= min(scores[:-patience])


def _resume(learner: Learner) -> dict[str, Any]:
    """Load the last checkpoint of this run; returns the epochs done, their rows, and the best validation MAE so far."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return {"epoch": 0, "best_mae_ab": float("inf"), "rows": []}
    with checkpoint.as_directory() as directory:
        return learner.restore(directory)


def _train_epoch(worker: _Worker, learner: Learner, epoch: int) -> tuple[dict[str, float], int]:
    """One pass over this rank's share; returns the mean losses and the number of images of all ranks."""
    train = worker.config.train
    torch.manual_seed(hash((train.seed, epoch, worker.rank)))
    batches = ray.train.get_dataset_shard("train").iter_batches(
        batch_size=train.batch_size,
        batch_format="numpy",
        drop_last=True,
        local_shuffle_buffer_size=train.shuffle_buffer or None,
        local_shuffle_seed=train.seed + epoch,
    )
    rule = worker.config.augment.rule()
    sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), dtype=torch.float64, device=worker.device))
    count = 0
    for group in _groups(iter(batches), train.accumulate):
        seen = []
        for batch in group:
            L, ab = (torch.from_numpy(batch[name]).to(worker.device, non_blocking=True) for name in ("L", "ab"))
            seen.append(Batch(*augment(L, ab, batch["id"], epoch, rule, train.seed)))
        for name, value in learner.learn(*seen).items():
            sums[name] += value * len(group)
        count += len(group)
    names = sorted(sums)
    totals = _sum_over_ranks(
        torch.stack([*(sums[name] for name in names), torch.tensor(float(count)).to(worker.device)])
    )
    everywhere = totals[-1].item()
    return {name: totals[i].item() / everywhere for i, name in enumerate(names)}, int(everywhere) * train.batch_size


def _groups(batches: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """Batches by the steps they belong to; the last step of an epoch may have fewer."""
    while group := list(itertools.islice(batches, size)):
        yield group


def _validate(worker: _Worker, model: nn.Module | None) -> dict[str, float]:
    """Mean metrics over the whole validation split, every row counted once; of the gray baseline without a model."""
    shards = worker.shards
    files = [shards.path(name) for name in worker.dataset.files(VAL, shards.uri)]
    sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), dtype=torch.float64, device=worker.device))
    if model:
        model.eval()
    for group in read_batches(
        files, shards.filesystem, columns=["rgb"], rank=worker.rank, world_size=worker.world_size
    ):
        for rgb in torch.from_numpy(group["rgb"]).split(worker.config.train.batch_size):
            rgb = rgb.to(worker.device)
            L, ab = evaluation.split_rgb(rgb)
            predicted = colorize_lightness(model, L, worker.dataset.size) if model else torch.zeros_like(ab)
            for name, values in evaluation.score(predicted, rgb).items():
                sums[name] += values.sum()
            sums["rows"] += len(rgb)
    if model:
        model.train()
    # A rank without a share of a small split has seen no metric names.
    names = ("mae_ab", "psnr", "ssim", "rows")
    totals = _sum_over_ranks(torch.stack([sums[name] for name in names]))
    return {name: (totals[i] / totals[-1]).item() for i, name in enumerate(names[:-1])}


def _samples(worker: _Worker, model: nn.Module) -> dict[str, Tensor]:
    """Gray, colorized and true pictures of the first validation photographs, (N, 3, S, S) uint8."""
    shards = worker.shards
    first = shards.path(worker.dataset.files(VAL, shards.uri)[0])
    rgb = torch.from_numpy(next(read_batches([first], shards.filesystem, columns=["rgb"]))["rgb"])
    rgb = rgb[: worker.config.train.samples].to(worker.device)
    L, ab = evaluation.split_rgb(rgb)
    model.eval()
    predicted = colorize_lightness(model, L, worker.dataset.size)
    model.train()
    return {
        "gray": evaluation.assemble(L, torch.zeros_like(ab)),
        "colorized": evaluation.assemble(L, predicted),
        "truth": rgb,
    }


def _sum_over_ranks(values: Tensor) -> Tensor:
    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(values)
    return values.cpu()


def _share_buffers(model: nn.Module) -> None:
    """Give every rank the running statistics of rank 0, which the checkpoint holds, so that all validate one model."""
    if dist.is_initialized() and dist.get_world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def _report(
    worker: _Worker, learner: Learner, row: dict[str, float], progress: dict[str, Any], scores: dict[str, float]
) -> None:
    """Hand the epoch's checkpoint to Ray Train; every rank must call, only the first brings files."""
    with tempfile.TemporaryDirectory() as directory:
        checkpoint = None
        if worker.rank == 0:
            training = {"epoch": progress["epoch"], "metrics": scores}
            learner.save(directory, worker.dataset.size, training, progress)
            checkpoint = ray.train.Checkpoint.from_directory(directory)
        ray.train.report(row, checkpoint=checkpoint, checkpoint_dir_name=f"epoch_{progress['epoch']:04d}")
