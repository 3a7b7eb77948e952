"""What `train` runs in each of Ray Train's workers: epochs of steps, validation, checkpoints."""

import itertools
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray.train
import torch
from torch import Tensor

from colorize_core.data.augment import augment
from colorize_core.data.loader import ShardLoader, prefetch
from colorize_core.errors import UserError
from colorize_core.runtime.memory import retain_freed_memory
from colorize_core.training.steps import Batch
from jobs.command.console import duration
from jobs.train.checkpoints import Progress, is_exhausted, report, resume
from jobs.train.outputs.mlflow import MlflowTracker
from jobs.train.outputs.prometheus import TrainMeter
from jobs.train.outputs.writer import RunWriter
from jobs.train.state import TrainState, build_train_state
from jobs.train.validation import Validator
from jobs.train.worker import Worker

# For the warning that a node will be taken away. It comes a minute or two before, and looking costs a round of ranks.
_STEPS_BETWEEN_LOOKS = 20

_Row = tuple[Sequence[str], Tensor, Tensor]  # ids, L and ab of a batch, as the shards have them


def train_loop(setup: Mapping[str, Any]) -> None:
    """Train to the last epoch, from the last checkpoint of this run if there is one."""
    worker = Worker.current(setup)
    optim = worker.config.optim
    retain_freed_memory(everything=True)
    torch.manual_seed(optim.seed)  # equal first weights on every rank
    loader = worker.loader()
    steps = math.ceil(loader.batches / optim.accumulate)
    state = build_train_state(worker.config, worker.dataset.color_prior, workers=worker.ranks, steps_per_epoch=steps)
    progress = resume(worker, state)
    progress.adapt(steps)
    state.set_step(progress.epoch * steps + progress.step)
    validator = Validator(worker)
    baseline = validator.baseline()
    writer = _writer(worker, progress) if worker.is_rank_zero else None
    meter = TrainMeter(worker.output.uri, is_rank_zero=worker.is_rank_zero)
    run = _Run(worker, state, loader, validator, baseline, writer, meter)
    while progress.epoch < optim.epochs:
        if is_exhausted(progress.rows, optim.best_metric, optim.patience):
            worker.say(f"stopped: {optim.patience} epochs without a better {optim.best_metric} (optim.patience)")
            break
        progress = run.epoch(progress)
        report(worker, state, progress, progress.rows[-1])
    if writer:
        writer.close()


def _writer(worker: Worker, progress: Progress) -> RunWriter:
    config = worker.config
    tracker = None
    if config.tracking.mlflow:
        tracker = MlflowTracker(config.tracking, config.model_dump(mode="json"), worker.output)
    return RunWriter(worker.output, worker.messages, config.optim.epochs, tracker, progress.rows)


@dataclass(frozen=True)
class _Run:
    """A rank with all it works with."""

    worker: Worker
    state: TrainState
    loader: ShardLoader
    validator: Validator
    baseline: Mapping[str, float]
    """Validation scores of gray."""
    writer: RunWriter | None
    """On the leading rank."""
    meter: TrainMeter

    def epoch(self, progress: Progress) -> Progress:
        """Train through the rest of the next epoch, validate, and write for people; returns the progress after it."""
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
            self.writer.epoch(row, left=duration((optim.epochs - epoch) * row["seconds"]), improved=improved)
        return Progress(epoch=epoch, steps=progress.steps, rows=[*progress.rows, row])

    def _train(self, progress: Progress) -> Progress:
        """The steps of an epoch that are left; returns the progress with the sums over all of the epoch."""
        worker, optim, epoch = self.worker, self.worker.config.optim, progress.epoch + 1
        begun = time.monotonic() - progress.seconds
        sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), dtype=torch.float64, device=worker.device))
        batches = prefetch(self.loader.epoch(epoch, progress.step * optim.accumulate), self._pinned, optim.prefetch)
        is_warned = False
        groups = self.meter.steps(_groups(batches, optim.accumulate))
        for step, group in enumerate(groups, progress.step + 1):
            # Dropout and mixtures are drawn from what names the step: a resumed run needs no state of generators.
            torch.manual_seed(hash((optim.seed, epoch, step, worker.rank)))
            for name, value in self.state.train_step(*(self._vary(batch, epoch) for batch in group)).items():
                sums[name] += value * len(group)
            sums["batches"] += len(group)
            self.meter.losses(step, sums)
            if step == progress.steps:
                break
            is_due = optim.checkpoint_steps is not None and step % optim.checkpoint_steps == 0
            if not is_warned and step % _STEPS_BETWEEN_LOOKS == 0 and ray.train.get_preemption_info():
                worker.say(f"epoch {epoch}: a node will be taken away; saved after step {step} of {progress.steps}")
                is_due = is_warned = True
            if is_due:
                seconds, totals = time.monotonic() - begun, _totals(worker, sums, progress)
                now = replace(progress, step=step, sums=totals, seconds=seconds)
                report(worker, self.state, now, {"epoch": epoch, "step": step})
        totals = _totals(worker, sums, progress)
        return replace(progress, sums=totals, seconds=time.monotonic() - begun)

    def _pinned(self, batch: Mapping[str, Any]) -> _Row:
        """uint8 tensors, in memory that a GPU copies from while it computes."""
        L, ab = (torch.from_numpy(batch[name]) for name in ("L", "ab"))
        if self.worker.device.type == "cuda":
            L, ab = L.pin_memory(), ab.pin_memory()
        return batch["id"], L, ab

    def _vary(self, batch: _Row, epoch: int) -> Batch:
        """Augment and normalize, on the device."""
        ids, L, ab = batch
        L, ab = (pixels.to(self.worker.device, non_blocking=True) for pixels in (L, ab))
        config = self.worker.config
        return Batch(*augment(L, ab, ids, epoch, config.augment.rule(), config.optim.seed))


def _groups(batches: Iterator[_Row], size: int) -> Iterator[list[_Row]]:
    """Batches by the steps they belong to; the last step of an epoch may have fewer."""
    while group := list(itertools.islice(batches, size)):
        yield group


def _totals(worker: Worker, sums: Mapping[str, Tensor], progress: Progress) -> dict[str, float]:
    """Sums over all ranks since the epoch began; `progress` has those of before the run was interrupted."""
    names = sorted(sums)
    totals = worker.sum(torch.stack([sums[name] for name in names])).tolist()
    return {name: total + progress.sums.get(name, 0.0) for name, total in zip(names, totals, strict=True)}
