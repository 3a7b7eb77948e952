"""Progress of a training run, its checkpoints, and resuming from the newest complete one."""

import json
import logging
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING

from cluster.storage.stores import Storage
from colorize_core.errors import UserError
from colorize_core.formatting import counted
from colorize_core.metrics.registry import METRICS

if TYPE_CHECKING:
    from jobs.train.state import TrainState
    from jobs.train.worker import Worker

CHECKPOINTS = "checkpoints"
_SNAPSHOT = "checkpoint_manager_snapshot.json"
_NAME = re.compile(r"epoch_(\d+)(?:_step_(\d+)_of_(\d+))?(?:_again)*")


@dataclass
class TrainProgress:
    """Progress of a run, as stored in checkpoints."""

    epoch: int = 0
    """Completed epochs."""
    step: int = 0
    """Completed steps of the current epoch."""
    steps: int = 0
    """Steps per epoch."""
    sums: dict[str, float] = field(default_factory=dict)
    """Sums of the losses and the number of batches in the completed steps of the current epoch, over all ranks."""
    seconds: float = 0.0
    """Seconds spent in the current epoch."""
    rows: list[dict[str, float]] = field(default_factory=list)
    """Rows of metrics.csv."""

    @property
    def name(self) -> str:
        """Name of the checkpoint's folder.

        It includes the steps per epoch, which depend on the number of workers: without them, the step does not show
        which of two checkpoints is newer.
        """
        return f"epoch_{self.epoch:04d}" + (f"_step_{self.step:06d}_of_{self.steps:06d}" if self.step else "")

    def adapt(self, steps: int) -> None:
        """Adopt a number of steps per epoch, which depends on the number of workers; the completed share stays."""
        if self.steps and self.steps != steps:
            self.step = min(round(self.step * steps / self.steps), steps - 1)
        self.steps = steps

    def baseline(self) -> dict[str, float]:
        """Return the scores of gray images, which are the same in every epoch; empty before the first epoch."""
        last = self.rows[-1] if self.rows else {}
        return {name.removeprefix("gray_"): value for name, value in last.items() if name.startswith("gray_")}

    def is_best(self, scores: Mapping[str, float], metric: str) -> bool:
        """Return True if the scores are better than those of every epoch so far."""
        return all(METRICS[metric].is_better(scores[metric], row[metric]) for row in self.rows)


def is_exhausted(rows: Sequence[Mapping[str, float]], metric: str, patience: int | None) -> bool:
    """Return True if none of the last `patience` epochs was better than the best epoch before them."""
    if patience is None or len(rows) <= patience:
        return False
    best = METRICS[metric].best(row[metric] for row in rows[:-patience])
    return not any(METRICS[metric].is_better(row[metric], best) for row in rows[-patience:])


def resume(worker: "Worker", state: "TrainState") -> TrainProgress:
    """Load the newest complete checkpoint, the same on every rank; return the initial progress if there is none."""
    import ray.train

    storage = worker.output.child(CHECKPOINTS)
    for name in worker.broadcast(list(complete_checkpoints(storage)) if worker.is_rank_zero else []):
        with ray.train.Checkpoint(storage.path(name), storage.filesystem).as_directory() as directory:
            fault = None
            if worker.is_rank_zero:
                fault = _try_restore(state, directory)
            if fault := worker.broadcast(fault):
                worker.log(logging.WARNING, "the checkpoint %s is damaged and ignored (%s)", name, fault)
                continue
            saved = state.restore(directory)
        worker.log(logging.INFO, "continued from %s, on %s", name, counted(worker.world_size, "worker"))
        return TrainProgress(**{each.name: saved[each.name] for each in fields(TrainProgress)})
    return TrainProgress()


def _try_restore(state: "TrainState", directory: str) -> str | None:
    """Load a checkpoint; return the error in one line, or None."""
    try:
        state.restore(directory)
    except UserError as error:
        return str(error)
    return None


def report(worker: "Worker", state: "TrainState", progress: TrainProgress, metrics: Mapping[str, float]) -> None:
    """Report a checkpoint to Ray Train, which uploads it while training continues; every rank must call this."""
    import ray.train
    from ray.train import CheckpointUploadMode

    checkpoint, name = None, progress.name
    if worker.is_rank_zero:
        name = _unused_name(worker.output.child(CHECKPOINTS), name)
        directory = tempfile.mkdtemp(prefix="checkpoint-")  # Ray deletes it after the upload
        state.save(directory, worker.dataset.size, asdict(progress))
        checkpoint = ray.train.Checkpoint.from_directory(directory)
    ray.train.report(
        dict(metrics),
        checkpoint=checkpoint,
        checkpoint_dir_name=name,  # Ray uses that of rank 0
        checkpoint_upload_mode=CheckpointUploadMode.ASYNC,
    )


def _unused_name(storage: Storage, name: str) -> str:
    """Return the name of a new checkpoint, with a suffix if a folder of that name exists.

    Steps are repeated if the checkpoint after them was damaged. Ray still lists the damaged one: with equal names it
    would delete both folders at once, and end the run when it deletes the second one.
    """
    from jobs.train.state import SIZES

    while storage.exists(f"{name}/{SIZES}"):
        name += "_again"
    return name


def complete_checkpoints(storage: Storage) -> Iterator[str]:
    """Yield the names of the checkpoints whose upload was completed, newest first.

    A file appears on S3 when its upload ends, but a local copy grows. Therefore every file must have its final size,
    which the last file lists.
    """
    from jobs.train.state import SIZES

    found: dict[str, dict[str, int]] = {}
    for entry in storage.list():
        folder, _, name = entry.key.partition("/")
        found.setdefault(folder, {})[name] = entry.size
    ages = {name: _sort_key(match) for name in found if (match := _NAME.fullmatch(name))}
    for name in sorted(ages, key=ages.__getitem__, reverse=True):
        if SIZES not in found[name]:
            continue
        try:
            sizes = json.loads(storage.read(f"{name}/{SIZES}"))
        except (ValueError, FileNotFoundError):  # damaged, or deleted since the listing
            continue
        if all(found[name].get(file) == size for file, size in sizes.items()):
            yield name


def _sort_key(name: re.Match[str]) -> tuple[int, float, int]:
    """Return a key that is larger for newer checkpoints: epochs, completed share of the next epoch, repetitions."""
    epoch, step, steps = (int(part or 0) for part in name.groups())
    return epoch, step / max(steps, 1), len(name[0])


def is_complete(output: Storage, epochs: int) -> bool:
    """Return True if the checkpoint of the last epoch exists; it is written after all other outputs of its epoch."""
    newest = next(complete_checkpoints(output.child(CHECKPOINTS)), None)
    match = _NAME.fullmatch(newest) if newest else None
    return match is not None and int(match[1]) >= epochs


def delete_broken_index(output: Storage) -> None:
    """Delete Ray Train's list of checkpoints if Ray would fail to start with it.

    Ray rewrites the file in place, and a crash can leave an incomplete file or one with deleted checkpoints. Training
    does not need it: it resumes from what `complete_checkpoints` finds.
    """
    import ray

    storage = output.child(CHECKPOINTS)
    if not storage.exists(_SNAPSHOT):
        return
    folders = {entry.key.partition("/")[0] for entry in storage.list()}
    try:
        index = json.loads(storage.read(_SNAPSHOT))
        named = {result["checkpoint_dir_name"] for result in index["checkpoint_results"]}
        is_sound = index["ray_version"] == ray.__version__ and named <= folders
    except (ValueError, KeyError, TypeError):
        is_sound = False
    if not is_sound:
        storage.delete(_SNAPSHOT)
