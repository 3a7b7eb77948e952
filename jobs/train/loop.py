"""Training loop of a Ray Train worker: epochs of optimizer steps, validation, checkpoints."""

import itertools
import logging
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from logging.handlers import QueueHandler
from typing import Any

import ray.train
import torch
from torch import Tensor

from colorize_core.data.augment import augment
from colorize_core.data.hints import draw_hints
from colorize_core.data.loader import ShardLoader, prefetch
from colorize_core.errors import UserError
from colorize_core.formatting import format_duration
from colorize_core.runtime.memory import retain_freed_memory
from colorize_core.training.steps import Batch
from jobs.train.checkpoints import TrainProgress, is_exhausted, report, resume
from jobs.train.outputs.mlflow import MlflowTracker
from jobs.train.outputs.prometheus import TrainMeter
from jobs.train.outputs.tensorboard import TensorBoardTracker
from jobs.train.outputs.trackers import Tracker
from jobs.train.outputs.writer import RunWriter
from jobs.train.state import TrainState, build_train_state
from jobs.train.validation import Validator
from jobs.train.worker import Worker

# Steps between checks for the announced end of a node. It is announced one or two minutes before, and a check is a
# collective operation of all ranks.
_STEPS_BETWEEN_PREEMPTION_CHECKS = 20

_RawBatch = tuple[Sequence[str], Tensor, Tensor]  # ids, and L and ab in uint8 as stored in shards


def train_loop(loop_config: Mapping[str, Any]) -> None:
    """Train in a Ray Train worker; on rank 0, log records of jobs.train also go to the driver.

    Args:
        loop_config: `setup`, the arguments of `Worker.current`; and `log_queue`, the queue for log records.
    """
    worker = Worker.current(loop_config["setup"])
    logger, handler = logging.getLogger("jobs.train"), QueueHandler(loop_config["log_queue"])
    if worker.is_rank_zero:
        logger.addHandler(handler)
    try:
        _train(worker)
    finally:
        logger.removeHandler(handler)


def _train(worker: Worker) -> None:
    """Train to the last epoch, from the last checkpoint of this run if there is one."""
    optim = worker.config.optim
    retain_freed_memory(everything=True)
    torch.manual_seed(optim.seed)  # equal initial weights on all ranks
    loader = worker.loader()
    steps = math.ceil(loader.batches / optim.accumulate)
    state = build_train_state(
        worker.config, worker.dataset.color_prior, workers=worker.world_size, steps_per_epoch=steps
    )
    progress = resume(worker, state)
    progress.adapt(steps)
    state.set_step(progress.epoch * steps + progress.step)
    validator = Validator(worker)
    baseline = progress.baseline() or validator.baseline()
    writer = _writer(worker, progress) if worker.is_rank_zero else None
    meter = TrainMeter(worker.output.uri, is_rank_zero=worker.is_rank_zero)
    runner = EpochRunner(worker, state, loader, validator, baseline, writer, meter)
    while progress.epoch < optim.epochs:
        if is_exhausted(progress.rows, optim.best_metric, optim.patience):
            worker.log(
                logging.INFO,
                "stopped: no better %s in %d epochs (optim.patience)",
                optim.best_metric,
                optim.patience,
            )
            break
        progress = runner.run(progress)
        report(worker, state, progress, progress.rows[-1])
    if writer:
        writer.close()


def _writer(worker: Worker, progress: TrainProgress) -> RunWriter:
    config = worker.config
    trackers: list[Tracker] = [TensorBoardTracker(worker.output)]
    if config.tracking.mlflow:
        trackers.append(MlflowTracker(config.tracking, worker.output))
    for tracker in trackers:
        tracker.start(config.model_dump(mode="json"), len(progress.rows))
    return RunWriter(worker.output, config.optim.epochs, trackers, progress.rows)


@dataclass(frozen=True)
class EpochRunner:
    """Runs the epochs of one rank."""

    worker: Worker
    state: TrainState
    loader: ShardLoader
    validator: Validator
    baseline: Mapping[str, float]
    """Validation scores of gray images."""
    writer: RunWriter | None
    """Writer of outputs; None on ranks other than 0."""
    meter: TrainMeter

    def run(self, progress: TrainProgress) -> TrainProgress:
        """Train the rest of the current epoch, validate, and write the outputs; return the progress after it."""
        optim, epoch = self.worker.config.optim, progress.epoch + 1
        progress = self._train(progress)
        trained = time.monotonic()
        sums = dict(progress.sums)
        batches = sums.pop("batches")
        model = self.state.eval_model
        self.worker.broadcast_buffers(model)
        scores = self.validator.scores(model)
        if not all(map(math.isfinite, scores.values())):
            raise UserError(f"epoch {epoch}: the model diverged (validation MAE {scores['mae_ab']}); lower optim.lr")
        losses = {name: value / batches for name, value in sums.items()}
        row = {
            "epoch": epoch,
            **losses,
            **scores,
            **{f"gray_{name}": value for name, value in self.baseline.items()},
            "learning_rate": self.state.lr,
            "images_per_second": batches * optim.batch_size / progress.seconds,
            "data_wait_ms": self.meter.data_wait_ms,
            "seconds": progress.seconds + time.monotonic() - trained,
        }
        self.meter.epoch(row, losses)
        if self.writer:
            improved = progress.is_best(scores, optim.best_metric)
            training = {"epoch": epoch, "metrics": scores, "gray": dict(self.baseline), "losses": losses}
            self.writer.samples(epoch, self.validator.samples(model))
            self.writer.checkpoints(model, self.worker.dataset.size, training, improved=improved)
            self.writer.epoch(
                row, remaining=format_duration((optim.epochs - epoch) * row["seconds"]), improved=improved
            )
        return TrainProgress(epoch=epoch, steps=progress.steps, rows=[*progress.rows, row])

    def _train(self, progress: TrainProgress) -> TrainProgress:
        """Take the remaining steps of an epoch; return the progress with the sums over the whole epoch."""
        worker, optim, epoch = self.worker, self.worker.config.optim, progress.epoch + 1
        started = time.monotonic() - progress.seconds
        sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), dtype=torch.float64, device=worker.device))
        batches = prefetch(self.loader.epoch(epoch, progress.step * optim.accumulate), self._pinned, optim.prefetch)
        is_warned = False
        groups = self.meter.steps(_groups(batches, optim.accumulate))
        for step, group in enumerate(groups, progress.step + 1):
            # Seeds of dropout and `gan_losses.mix` depend on the step, so that resuming needs no generator state.
            torch.manual_seed(hash((optim.seed, epoch, step, worker.rank)))
            for name, value in self.state.train_step(*(self._augment(batch, epoch) for batch in group)).items():
                sums[name] += value * len(group)
            sums["batches"] += len(group)
            self.meter.losses(step, sums)
            if step == progress.steps:
                break
            is_due = optim.checkpoint_steps is not None and step % optim.checkpoint_steps == 0
            if not is_warned and step % _STEPS_BETWEEN_PREEMPTION_CHECKS == 0 and ray.train.get_preemption_info():
                worker.log(
                    logging.WARNING,
                    "epoch %d: a node will be removed; saving a checkpoint after step %d of %d",
                    epoch,
                    step,
                    progress.steps,
                )
                is_due = is_warned = True
            if is_due:
                now = self._advance(progress, sums, started, step)
                report(worker, self.state, now, {"epoch": epoch, "step": step})
        return self._advance(progress, sums, started, progress.step)

    def _advance(self, progress: TrainProgress, sums: Mapping[str, Tensor], started: float, step: int) -> TrainProgress:
        """Return the progress at a step; `sums` are those of this rank since the epoch was started or resumed."""
        names = sorted(sums)
        totals = self.worker.sum(torch.stack([sums[name] for name in names])).tolist()
        added = {name: total + progress.sums.get(name, 0.0) for name, total in zip(names, totals, strict=True)}
        return replace(progress, step=step, sums=added, seconds=time.monotonic() - started)

    def _pinned(self, batch: Mapping[str, Any]) -> _RawBatch:
        """Convert to uint8 tensors; for a GPU in pinned memory, from which it copies while it computes."""
        L, ab = (torch.from_numpy(batch[name]) for name in ("L", "ab"))
        if self.worker.device.type == "cuda":
            L, ab = L.pin_memory(), ab.pin_memory()
        return batch["id"], L, ab

    def _augment(self, batch: _RawBatch, epoch: int) -> Batch:
        """Augment and normalize a batch on the device."""
        ids, L, ab = batch
        L, ab = (pixels.to(self.worker.device, non_blocking=True) for pixels in (L, ab))
        options, seed = self.worker.config.augment, self.worker.config.optim.seed
        seen, L, ab = augment(L, ab, ids, epoch, options, seed)
        takes_hints = self.state.model.takes_hints
        return Batch(seen, L, ab, draw_hints(ab, ids, epoch, options.hints, seed) if takes_hints else None)


def _groups(batches: Iterator[_RawBatch], size: int) -> Iterator[list[_RawBatch]]:
    """Group batches by optimizer step; the last step of an epoch may have fewer batches."""
    while group := list(itertools.islice(batches, size)):
        yield group
