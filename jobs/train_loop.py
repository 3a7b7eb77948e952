"""What `train` runs in each of Ray Train's workers: epochs of steps, validation, checkpoints."""

import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch
import torch.distributed as dist
from torch import Tensor, nn

from cluster.storage import Storage
from colorize_core import evaluation
from colorize_core.checkpoint import load_checkpoint, load_weights, pack_state, save_checkpoint, unpack_state
from colorize_core.errors import UserError
from colorize_core.models import build_model
from colorize_core.models.base import ColorModel
from colorize_core.models.patchgan import PatchGAN
from colorize_core.prediction import colorize_lightness
from colorize_core.shards import VAL, DatasetInfo, read_batches
from colorize_core.training import AdversarialStep, Step, SupervisedStep, prepare_batch
from jobs.console import duration
from jobs.run_writer import RunWriter
from jobs.train import TrainConfig

_STATE = "training_state.safetensors"


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
    model, step = _build(config)
    progress = _resume(model, step)
    writer = RunWriter(setup["output"], setup["messages"], progress["rows"]) if worker.rank == 0 else None
    baseline = _validate(worker, None)
    for epoch in range(progress["epoch"] + 1, config.train.epochs + 1):
        start = time.monotonic()
        losses, images = _train_epoch(worker, step, epoch)
        seconds = time.monotonic() - start
        _share_buffers(model)
        scores = _validate(worker, model)
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
            writer.samples(epoch, _samples(worker, model))
            training = {"epoch": epoch, "metrics": scores, "gray": baseline, "losses": losses}
            writer.checkpoints(model, dataset.size, training, improved=best < progress["best_mae_ab"])
            writer.epoch(row, epochs=config.train.epochs, left=left)
        progress = {"epoch": epoch, "best_mae_ab": best, "rows": [*progress["rows"], row]}
        _report(worker, model, step, row, progress, scores)
    if writer:
        writer.close()


def _build(config: TrainConfig) -> tuple[ColorModel, Step]:
    """The model, on its device, and the step that optimises it: through DDP where there are several workers."""
    model = build_model(config.model.name, **config.model.options)
    if config.model.init_from:
        from cluster.storage import open_storage

        store = open_storage(config.model.init_from, config.storage)
        start, _ = load_checkpoint(store.path(), store.filesystem)
        load_weights(model, start.state_dict(), config.model.init_from)
    wrapped = ray.train.torch.prepare_model(model)
    train = config.train
    optimizer = torch.optim.Adam(wrapped.parameters(), lr=train.lr, betas=train.betas)
    weights = config.loss.pixel_weights()
    if not config.loss.adversarial:
        return model, SupervisedStep(wrapped, weights, optimizer)
    discriminator = ray.train.torch.prepare_model(PatchGAN(config.discriminator.layers))
    judge_optimizer = torch.optim.Adam(
        discriminator.parameters(), lr=config.discriminator.lr or train.lr, betas=train.betas
    )
    step = AdversarialStep(wrapped, discriminator, weights, config.loss.adversarial, optimizer, judge_optimizer)
    return model, step


def _resume(model: ColorModel, step: Step) -> dict[str, Any]:
    """Load the last checkpoint of this run; returns the epochs done, their rows, and the best validation MAE so far."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return {"epoch": 0, "best_mae_ab": float("inf"), "rows": []}
    with checkpoint.as_directory() as directory:
        weights, _ = load_checkpoint(directory)
        load_weights(model, weights.state_dict(), directory)
        state = unpack_state(Path(directory) / _STATE)
    step.load_state_dict(state["step"])
    return state["progress"]


def _train_epoch(worker: _Worker, step: Step, epoch: int) -> tuple[dict[str, float], int]:
    """One pass over this rank's share; returns the mean losses and the number of images of all ranks."""
    train = worker.config.train
    torch.manual_seed(hash((train.seed, epoch, worker.rank)))
    flip = torch.Generator().manual_seed(hash((train.seed, epoch, worker.rank))) if train.flip else None
    batches = ray.train.get_dataset_shard("train").iter_torch_batches(
        batch_size=train.batch_size,
        drop_last=True,
        local_shuffle_buffer_size=train.shuffle_buffer or None,
        local_shuffle_seed=train.seed + epoch,
        device="cpu",
    )
    sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), dtype=torch.float64, device=worker.device))
    steps = 0
    for batch in batches:
        L, ab = prepare_batch(batch["L"], batch["ab"], worker.device, flip)
        for name, value in step(L, ab).items():
            sums[name] += value
        steps += 1
    names = sorted(sums)
    totals = _sum_over_ranks(
        torch.stack([*(sums[name] for name in names), torch.tensor(float(steps)).to(worker.device)])
    )
    all_steps = totals[-1].item()
    return {name: totals[i].item() / all_steps for i, name in enumerate(names)}, int(all_steps) * train.batch_size


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
    worker: _Worker,
    model: ColorModel,
    step: Step,
    row: dict[str, float],
    progress: dict[str, Any],
    scores: dict[str, float],
) -> None:
    """Hand the epoch's checkpoint to Ray Train; every rank must call, only the first brings files."""
    with tempfile.TemporaryDirectory() as directory:
        checkpoint = None
        if worker.rank == 0:
            training = {"epoch": progress["epoch"], "metrics": scores}
            save_checkpoint(directory, model, worker.dataset.size, training)
            state = {"step": step.state_dict(), "progress": progress}
            (Path(directory) / _STATE).write_bytes(pack_state(state))
            checkpoint = ray.train.Checkpoint.from_directory(directory)
        ray.train.report(row, checkpoint=checkpoint, checkpoint_dir_name=f"epoch_{progress['epoch']:04d}")
