"""How far a training run is, its checkpoints, and continuing from the newest that is whole."""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING

from cluster.storage.stores import Storage
from colorize_core.errors import UserError

if TYPE_CHECKING:
    from jobs.train.state import TrainState
    from jobs.train.worker import Worker

CHECKPOINTS = "checkpoints"
_SNAPSHOT = "checkpoint_manager_snapshot.json"
_NAME = re.compile(r"epoch_(\d+)(?:_step_(\d+)_of_(\d+))?(?:_again)*")
_HIGHER_IS_BETTER = ("psnr", "ssim")


@dataclass
class Progress:
    """What a checkpoint knows of the run."""

    epoch: int = 0
    """Finished ones."""
    step: int = 0
    """Steps of the next epoch that are done, of `steps`."""
    steps: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    """Losses and the number of batches over these steps, of all ranks."""
    seconds: float = 0.0
    """That they took."""
    rows: list[dict[str, float]] = field(default_factory=list)
    """Of metrics.csv."""

    @property
    def name(self) -> str:
        """Of its checkpoint's folder.

        With another number of workers an epoch has other steps: a step alone does not say which checkpoint is newer.
        """
        return f"epoch_{self.epoch:04d}" + (f"_step_{self.step:06d}_of_{self.steps:06d}" if self.step else "")

    def adapt(self, steps: int) -> None:
        """Go on with another number of steps per epoch, as another number of workers has, at the same share of it."""
        if self.steps and self.steps != steps:
            self.step = min(round(self.step * steps / self.steps), steps - 1)
        self.steps = steps

    def is_best(self, scores: Mapping[str, float], metric: str) -> bool:
        """Whether no epoch so far was as good."""
        return all(is_better(scores[metric], row[metric], metric) for row in self.rows)


def is_better(score: float, other: float, metric: str) -> bool:
    """Whether a validation score is better than another."""
    return score > other if metric in _HIGHER_IS_BETTER else score < other


def is_exhausted(rows: Sequence[Mapping[str, float]], metric: str, patience: int | None) -> bool:
    """Whether the last `patience` epochs were no better than one before them."""
    if patience is None or len(rows) <= patience:
        return False
    earlier = [row[metric] for row in rows[:-patience]]
    best = max(earlier) if metric in _HIGHER_IS_BETTER else min(earlier)
    return not any(is_better(row[metric], best, metric) for row in rows[-patience:])


def resume(worker: "Worker", state: "TrainState") -> Progress:
    """Load the newest checkpoint that is whole, the same on every rank; the beginning where there is none."""
    import ray.train

    store = worker.output.child(CHECKPOINTS)
    for name in worker.broadcast(list(whole_checkpoints(store)) if worker.is_rank_zero else []):
        with ray.train.Checkpoint(store.path(name), store.filesystem).as_directory() as directory:
            fault = None
            if worker.is_rank_zero:
                fault = _try_restore(state, directory)
            if fault := worker.broadcast(fault):
                worker.say(f"the checkpoint {name} is damaged and left out ({fault})")
                continue
            saved = state.restore(directory)
        worker.say(f"continued from {name}, on {worker.ranks} worker{'s' * (worker.ranks > 1)}")
        return Progress(**{each.name: saved[each.name] for each in fields(Progress)})
    return Progress()


def _try_restore(state: "TrainState", directory: str) -> str | None:
    """Why a checkpoint cannot be loaded."""
    try:
        state.restore(directory)
    except UserError as error:
        return str(error)
    return None


def report(worker: "Worker", state: "TrainState", progress: Progress, metrics: Mapping[str, float]) -> None:
    """Hand a checkpoint to Ray Train, which uploads it while training goes on; every rank must call."""
    import ray.train
    from ray.train import CheckpointUploadMode

    checkpoint, name = None, progress.name
    if worker.is_rank_zero:
        name = _unused(worker.output.child(CHECKPOINTS), name)
        directory = tempfile.mkdtemp(prefix="checkpoint-")  # Ray deletes it once it is uploaded
        state.save(directory, worker.dataset.size, asdict(progress))
        checkpoint = ray.train.Checkpoint.from_directory(directory)
    ray.train.report(
        dict(metrics),
        checkpoint=checkpoint,
        checkpoint_dir_name=name,  # the leading rank's
        checkpoint_upload_mode=CheckpointUploadMode.ASYNC,
    )


def _unused(store: Storage, name: str) -> str:
    """A checkpoint's name, or a later one where it is taken.

    Steps are done twice where the checkpoint after them was damaged. Ray, which lists that one too, would delete the
    second with the first, and end the run when it deletes it once more.
    """
    from jobs.train.state import SIZES

    while store.exists(f"{name}/{SIZES}"):
        name += "_again"
    return name


def whole_checkpoints(store: Storage) -> Iterator[str]:
    """Names of the checkpoints below a store whose upload was finished, newest first.

    A file appears on S3 when its upload ends, but a local copy grows: each must have the size it was written with.
    """
    from jobs.train.state import SIZES

    found: dict[str, dict[str, int]] = {}
    for entry in store.list():
        folder, _, name = entry.key.partition("/")
        found.setdefault(folder, {})[name] = entry.size
    places = {name: _place(match) for name in found if (match := _NAME.fullmatch(name))}
    for name in sorted(places, key=places.__getitem__, reverse=True):
        if SIZES not in found[name]:
            continue
        try:
            sizes = json.loads(store.read(f"{name}/{SIZES}"))
        except ValueError:
            continue
        if all(found[name].get(file) == size for file, size in sizes.items()):
            yield name


def _place(name: re.Match[str]) -> tuple[int, float, int]:
    """What a later checkpoint has more of: epochs, the share of the next one that is done, repetitions."""
    epoch, step, steps = (int(part or 0) for part in name.groups())
    return epoch, step / max(steps, 1), len(name[0])


def is_complete(output: Storage, epochs: int) -> bool:
    """Whether the last epoch's checkpoint is there; it is written after everything else of its epoch."""
    newest = next(whole_checkpoints(output.child(CHECKPOINTS)), None)
    match = _NAME.fullmatch(newest) if newest else None
    return match is not None and int(match[1]) >= epochs


def forget_broken_index(output: Storage) -> None:
    """Delete Ray Train's list of checkpoints where it would refuse to start with it.

    It is rewritten in place, and a crash can leave half of it, or one that names what was deleted. Training does not
    need it: it continues from what `whole_checkpoints` finds.
    """
    import ray

    store = output.child(CHECKPOINTS)
    if not store.exists(_SNAPSHOT):
        return
    folders = {entry.key.partition("/")[0] for entry in store.list()}
    try:
        index = json.loads(store.read(_SNAPSHOT))
        named = {result["checkpoint_dir_name"] for result in index["checkpoint_results"]}
        is_sound = index["ray_version"] == ray.__version__ and named <= folders
    except (ValueError, KeyError, TypeError):
        is_sound = False
    if not is_sound:
        store.delete(_SNAPSHOT)
