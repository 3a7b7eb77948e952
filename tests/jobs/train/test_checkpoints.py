"""Complete and damaged checkpoints, and the progress of a run."""

import json
from pathlib import Path

import pytest
import ray

from cluster.storage.stores import LocalStorage, S3Storage, Storage, StorageOptions
from jobs.train.checkpoints import CHECKPOINTS, TrainProgress, complete_checkpoints, delete_broken_index, is_complete

INDEX = "checkpoints/checkpoint_manager_snapshot.json"


def write(output: Storage, name: str, *, lost: int = 0, without: tuple[str, ...] = ()) -> None:
    """A checkpoint's folder; `lost` bytes are missing at the end of its state."""
    sizes = {"model.safetensors": 50, "training_state.safetensors": 80, "config.json": 10}
    files = {file: bytes(size) for file, size in sizes.items()} | {"sizes.json": json.dumps(sizes).encode()}
    files["training_state.safetensors"] = bytes(80 - lost)
    for file, data in files.items():
        if file not in without:
            output.write(f"{CHECKPOINTS}/{name}/{file}", data)


@pytest.fixture(params=["local", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return LocalStorage(str(tmp_path / "run"))
    endpoint, bucket = request.getfixturevalue("s3_endpoint"), request.getfixturevalue("bucket")
    return S3Storage(bucket, "run", StorageOptions(endpoint=endpoint))


def test_checkpoints_come_newest_first(output: Storage) -> None:
    """By the share of an epoch: with two workers it has half the steps."""
    newest_first = [
        "epoch_0010",
        "epoch_0002_step_000100_of_000120",
        "epoch_0002_step_000040_of_000060",
        "epoch_0002_step_000050_of_000120_again",
        "epoch_0002_step_000050_of_000120",
        "epoch_0002",
    ]
    for name in sorted(newest_first):
        write(output, name)
    assert list(complete_checkpoints(output.child(CHECKPOINTS))) == newest_first


def test_incomplete_checkpoints_and_other_folders_are_ignored(output: Storage) -> None:
    write(output, "epoch_0001")
    write(output, "epoch_0002", lost=1)
    write(output, "epoch_0003", without=("sizes.json",))
    write(output, "epoch_0004", without=("model.safetensors",))
    write(output, "notes")
    output.write(f"{CHECKPOINTS}/epoch_0005/sizes.json", b'{"model.safe')
    output.write(INDEX, b"{}")
    assert list(complete_checkpoints(output.child(CHECKPOINTS))) == ["epoch_0001"]


def test_a_run_is_complete_with_the_checkpoint_of_its_last_epoch(output: Storage) -> None:
    assert not is_complete(output, 1)
    write(output, "epoch_0002_step_000100_of_000120")
    assert is_complete(output, 2)
    assert not is_complete(output, 3)
    write(output, "epoch_0003", lost=80)
    assert not is_complete(output, 3)


@pytest.mark.parametrize(
    ("index", "kept"),
    [
        ({"ray_version": ray.__version__, "checkpoint_results": [{"checkpoint_dir_name": "epoch_0001"}]}, True),
        ({"ray_version": ray.__version__, "checkpoint_results": [{"checkpoint_dir_name": "epoch_0009"}]}, False),
        ({"ray_version": "2.0", "checkpoint_results": []}, False),
        (None, False),
    ],
)
def test_an_index_that_ray_would_fail_at_is_deleted(index: object, kept: bool, tmp_path: Path) -> None:
    output = LocalStorage(str(tmp_path / "run"))
    write(output, "epoch_0001")
    output.write(INDEX, json.dumps(index).encode() if index else b'{"ray_version": "2.')
    delete_broken_index(output)
    assert output.exists(INDEX) == kept


def test_with_another_number_of_workers_an_epoch_continues_at_the_same_share() -> None:
    progress = TrainProgress(epoch=3, step=30, steps=40)
    progress.adapt(80)
    assert (progress.step, progress.steps) == (60, 80)
    progress.adapt(3)
    assert progress.step == 2
    fresh = TrainProgress()
    fresh.adapt(40)
    assert (fresh.step, fresh.steps) == (0, 40)


def test_the_baseline_of_a_resumed_run_is_that_of_its_rows() -> None:
    assert TrainProgress().baseline() == {}
    row = {"epoch": 1, "psnr": 24.0, "gray_psnr": 22.0, "gray_fid": 60.0}
    assert TrainProgress(rows=[row]).baseline() == {"psnr": 22.0, "fid": 60.0}


@pytest.mark.parametrize(("metric", "better", "worse"), [("mae_ab", 0.1, 0.3), ("fid", 10, 40), ("psnr", 24, 22)])
def test_the_best_epoch_is_better_than_all_before(metric: str, better: float, worse: float) -> None:
    assert TrainProgress().is_best({metric: worse}, metric)
    progress = TrainProgress(rows=[{metric: (better + worse) / 2}, {metric: worse}])
    assert progress.is_best({metric: better}, metric)
    assert not progress.is_best({metric: worse}, metric)
    assert not progress.is_best({metric: (better + worse) / 2}, metric)
