import csv
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cluster.storage.stores import StorageOptions, open_storage
from colorize_core.checkpoint.config import read_checkpoint_config
from colorize_core.checkpoint.state import unpack_state
from colorize_core.checkpoint.weights import load_checkpoint
from colorize_core.data.shards import read_batches, read_dataset_info
from colorize_core.evaluation.scoring import Scorer, predictions
from jobs.cli import main
from jobs.train.checkpoints import is_exhausted
from jobs.train.outputs.metrics_file import read_metrics

TINY = ["model.name=encoder_decoder", "model.options={widths: [8, 8], latent: 8}", "optim.batch_size=4", "loss.l1=1"]

# In float32, as `evaluate` computes: validation scores are then equal to those of the checkpoint.
TWO_WORKERS = ["workers.count=2", "optim.samples=3", "optim.precision=fp32"]


def command(dataset: str, output: Path | str, *more: str) -> list[str]:
    return ["train", f"shards={dataset}", f"output={output}", *TINY, "optim.shuffle_buffer=8", *more]


@pytest.fixture(scope="module")
def trained(dataset: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs with two workers."""
    output = tmp_path_factory.mktemp("trained") / "Köln 写真 📷"
    assert main(command(dataset, output, "optim.epochs=2", *TWO_WORKERS)) == 0
    return output


def test_every_epoch_is_a_row_of_the_metrics(trained: Path) -> None:
    rows = read_metrics(open_storage(str(trained), StorageOptions()))
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[1]["loss"] < rows[0]["loss"]
    assert all(row["images_per_second"] > 0 for row in rows)
    assert all(0 < row["data_wait_ms"] < 1000 * row["seconds"] for row in rows)


def test_the_gray_baseline_is_that_of_every_validation_row(trained: Path, dataset: str) -> None:
    info = read_dataset_info(dataset)
    files = [f"{dataset}/{name}" for name in info.files("val", dataset)]
    ab = np.concatenate([batch["ab"] for batch in read_batches(files, columns=["ab"])]).astype(float) - 128
    expected = np.abs(ab).mean() / 110
    # From exact colors there, from 8-bit Lab here: at most half a level apart.
    assert read_metrics(open_storage(str(trained), StorageOptions()))[0]["gray_mae_ab"] == pytest.approx(
        expected, abs=0.25 / 110
    )


def test_validation_scores_are_those_of_the_checkpoint(trained: Path, dataset: str) -> None:
    """Computed as in `evaluate`."""
    info = read_dataset_info(dataset)
    files = [f"{dataset}/{name}" for name in info.files("val", dataset)]
    rgb = torch.from_numpy(np.concatenate([batch["rgb"] for batch in read_batches(files, columns=["rgb"])]))
    model, config = load_checkpoint(trained / "last")
    predicted = predictions({"run": (model.eval(), config.working_size)}, rgb, info.ab_median)
    scores = Scorer(info.color_prior)(predicted, rgb)["run"]
    last = read_metrics(open_storage(str(trained), StorageOptions()))[-1]
    for name in ("mae_ab", "psnr", "ssim"):
        assert scores[name].mean().item() == pytest.approx(last[name], rel=1e-5)


def test_best_is_the_epoch_with_the_lowest_mae(trained: Path) -> None:
    rows = read_metrics(open_storage(str(trained), StorageOptions()))
    best = min(rows, key=lambda row: row["mae_ab"])
    assert read_checkpoint_config(trained / "best").training["epoch"] == best["epoch"]
    assert read_checkpoint_config(trained / "last").training["epoch"] == 2


def test_every_epoch_has_a_checkpoint_that_loads(trained: Path) -> None:
    folders = sorted(path.name for path in (trained / "checkpoints").glob("epoch_*"))
    assert folders == ["epoch_0001", "epoch_0002"]
    for folder in folders:
        _, config = load_checkpoint(trained / "checkpoints" / folder)
        assert config.working_size == 32


def test_sample_grid_shows_gray_colorized_and_truth(trained: Path) -> None:
    for epoch in (1, 2):
        grid = Image.open(trained / "samples" / f"epoch_{epoch:04d}.png")
        assert grid.width > 3 * 160
        assert grid.height > 3 * 160


def test_metrics_are_written_for_tensorboard(trained: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained / "tensorboard"))
    events.Reload()
    assert [point.step for point in events.Scalars("mae_ab")] == [1, 2]


def test_the_same_command_again_does_nothing(trained: Path, dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = (trained / "last" / "model.safetensors").stat().st_mtime_ns
    assert main(command(dataset, trained, "optim.epochs=2", *TWO_WORKERS)) == 0
    assert "has all its 2 epochs" in capsys.readouterr().err
    assert (trained / "last" / "model.safetensors").stat().st_mtime_ns == before


def test_a_changed_configuration_is_refused_with_the_difference(
    trained: Path, dataset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(dataset, trained, "optim.epochs=2", *TWO_WORKERS, "optim.lr=0.5")) == 2
    line = capsys.readouterr().err
    assert "(optim.lr 0.001 -> 0.5)" in line
    assert len(line.strip().splitlines()) == 1


def test_more_epochs_continue_the_run(trained: Path, dataset: str) -> None:
    first = (trained / "metrics.csv").read_text().splitlines()[:3]
    assert main(command(dataset, trained, "optim.epochs=3", *TWO_WORKERS)) == 0
    lines = (trained / "metrics.csv").read_text().splitlines()
    assert lines[:3] == first
    assert len(lines) == 4
    assert read_checkpoint_config(trained / "last").training["epoch"] == 3


def test_the_gan_trains_on_two_workers_from_a_unet_of_s3_shards(
    dataset: str, s3_endpoint: str, strict_s3: list[str], bucket: str, trained: Path
) -> None:
    options = StorageOptions(endpoint=s3_endpoint)
    shards, output = (open_storage(f"s3://{bucket}/{name}", options) for name in ("shards", "gan"))
    for path in Path(dataset).rglob("*.*"):
        shards.write(path.relative_to(dataset).as_posix(), path.read_bytes())
    more = ["loss.adversarial=1", "loss.l1=100", "discriminator.layers=1", "optim.betas=[0.5, 0.999]"]
    more += ["optim.lr=1e-3", "optim.lr_scaling=linear"]
    more += [f"model.init_from={trained}/best", "optim.epochs=1", "workers.count=2", *strict_s3]
    assert main(command(shards.uri, output.uri, *more)) == 0
    row = next(csv.DictReader(io.StringIO(output.read("metrics.csv").decode())))
    assert 0 < float(row["discriminator"]) < 2
    assert float(row["learning_rate"]) == pytest.approx(2e-3)
    assert float(row["loss"]) == pytest.approx(100 * float(row["l1"]) + float(row["adversarial"]), rel=1e-5)
    keys = {entry.key.split("/")[0] for entry in output.list()}
    assert {"best", "last", "checkpoints", "samples", "tensorboard", "metrics.csv", "run.json"} <= keys
    model, _ = load_checkpoint(output.child("best").path(), output.filesystem)
    assert model.architecture["name"] == "encoder_decoder"
    scored = [f"shards={shards.uri}", f"checkpoint={output.uri}/best", f"output=s3://{bucket}/scores", "split=val"]
    assert main(["evaluate", *scored, "lpips.backbone=none", "resamples=100", *strict_s3]) == 0


@pytest.mark.long
def test_a_diverging_model_ends_the_run_at_once(
    dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run is not retried: a thousand attempts would exceed the time limit of the test."""
    options = ["optim.lr=1e30", "optim.precision=fp32", "optim.epochs=2", "optim.max_failures=1000"]
    assert main(command(dataset, tmp_path / "run", *options)) == 2
    assert "colorize: epoch 1: the model diverged (validation MAE nan); lower optim.lr" in capsys.readouterr().err


@pytest.mark.long
def test_a_damaged_shard_is_named_at_once(dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards = shutil.copytree(dataset, tmp_path / "shards")
    victim = next((shards / "train").glob("*.parquet"))
    victim.write_bytes(victim.read_bytes()[:-100])
    assert main(command(str(shards), tmp_path / "run", "optim.max_failures=1000")) == 2
    assert f"{victim}: damaged shard" in capsys.readouterr().err


@pytest.mark.long
def test_a_damaged_checkpoint_is_ignored_and_its_epoch_repeated(
    trained: Path, dataset: str, tmp_path: Path, inception_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest checkpoint has wrong bytes, one of a later epoch is incomplete, and Ray's list is truncated.

    The run also accumulates gradients and uses FID as the metric.
    """
    output = tmp_path / "run"
    options = [f"fid.weights={inception_file}", "optim.best_metric=fid", "optim.accumulate=2", "augment.zoom=0.5"]
    assert main(command(dataset, output, *options, "optim.epochs=2")) == 0
    whole = (output / "metrics.csv").read_text().splitlines()
    weights = (output / "last" / "model.safetensors").read_bytes()
    checkpoints = output / "checkpoints"
    state = bytearray((checkpoints / "epoch_0002" / "training_state.safetensors").read_bytes())
    state[:64] = bytes(64)
    (checkpoints / "epoch_0002" / "training_state.safetensors").write_bytes(state)
    (checkpoints / "epoch_0003").mkdir()
    (checkpoints / "epoch_0003" / "model.safetensors").write_bytes(weights[:100])
    (checkpoints / "checkpoint_manager_snapshot.json").write_text('{"ray_version": "2.')
    capsys.readouterr()
    assert main(command(dataset, output, *options, "optim.epochs=3")) == 0
    log = capsys.readouterr().err
    assert re.search(r"WARNING .*checkpoint epoch_0002 is damaged", log)
    assert "epoch 1/3" not in log
    rows = read_metrics(open_storage(str(output), StorageOptions()))
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert (output / "metrics.csv").read_text().splitlines()[1] == whole[1]
    assert rows[1]["loss"] == pytest.approx(float(whole[2].split(",")[whole[0].split(",").index("loss")]), rel=1e-4)
    assert rows[1]["fid"] > 0 < rows[1]["gray_fid"]
    best = min(rows, key=lambda row: row["fid"])
    assert read_checkpoint_config(output / "best").training["epoch"] == best["epoch"]
    assert Image.open(output / "curves.png").size == (2304, 1296)


@pytest.mark.long
def test_repeated_steps_have_checkpoints_of_their_own(dataset: str, tmp_path: Path) -> None:
    """Ray lists the damaged one too, and finally deletes both."""
    output = tmp_path / "run"
    options = ["optim.keep_checkpoints=1", "optim.checkpoint_steps=2"]
    assert main(command(dataset, output, *options, "optim.epochs=1")) == 0
    state = output / "checkpoints" / "epoch_0001" / "training_state.safetensors"
    state.write_bytes(bytes(state.stat().st_size))
    assert main(command(dataset, output, *options, "optim.epochs=3")) == 0
    assert [row["epoch"] for row in read_metrics(open_storage(str(output), StorageOptions()))] == [1, 2, 3]
    assert [path.name for path in (output / "checkpoints").glob("epoch_*")] == ["epoch_0003"]


@pytest.mark.parametrize(
    ("scores", "patience", "exhausted"),
    [
        ([0.3, 0.2, 0.1], 1, False),
        ([0.3, 0.2, 0.2], 1, True),
        ([0.1, 0.2, 0.3], 2, True),
        ([0.1, 0.2, 0.3], 3, False),
        ([0.2, 0.3, 0.1], 2, False),
        ([0.1, 0.2, 0.3], None, False),
        ([], 1, False),
    ],
)
def test_patience_counts_epochs_without_improvement(scores: list[float], patience: int | None, exhausted: bool) -> None:
    assert is_exhausted([{"mae_ab": score} for score in scores], "mae_ab", patience) == exhausted
    assert is_exhausted([{"psnr": -score} for score in scores], "psnr", patience) == exhausted


@pytest.mark.long
def test_everything_at_once_trains_and_resumes_with_its_average(dataset: str, tmp_path: Path) -> None:
    """Color bins, moving average, schedule, clipping, degraded input: two epochs, the second after a restart."""
    options = ["model.name=zhang_eccv16", "loss.cross_entropy=1", "loss.tv=0.1", "optim.batch_size=2", "optim.ema=0.9"]
    options += ["optim.schedule=cosine", "optim.warmup_epochs=0.5", "optim.clip_norm=1", "optim.lr=1e-4"]
    options += ["augment.style={grain: 1, film: 1}", "optim.precision=fp32", "optim.shuffle_buffer=8"]
    command_line = ["train", f"shards={dataset}", f"output={tmp_path}/run", *options]
    assert main([*command_line, "optim.epochs=1"]) == 0
    state = unpack_state(tmp_path / "run/checkpoints/epoch_0001/training_state.safetensors")
    raw, averaged = state["raw"], load_checkpoint(tmp_path / "run" / "last")[0].state_dict()
    assert not torch.equal(raw["model1.0.weight"], averaged["model1.0.weight"])
    assert main([*command_line, "optim.epochs=2"]) == 0
    rows = read_metrics(open_storage(f"{tmp_path}/run", StorageOptions()))
    assert [row["epoch"] for row in rows] == [1, 2]
    assert {"cross_entropy", "tv"} <= rows[1].keys()
    resumed = unpack_state(tmp_path / "run/checkpoints/epoch_0002/training_state.safetensors")
    assert int(resumed["averaged_steps"]) == 2 * int(state["averaged_steps"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["loss.cross_entropy=1"], "encoder_decoder predicts no color bins"),
        (["augment.crop=32"], "augment.crop = 32: must be smaller than the photographs, which have 32 px"),
        (["loss.perceptual=1", "loss.vgg_weights=/nowhere.pth"], "/nowhere.pth"),
        (["augment.hints.patch=5"], "augment.hints: has no effect, because encoder_decoder takes no hints"),
    ],
)
def test_options_that_dataset_or_model_do_not_support_are_refused(
    dataset: str, tmp_path: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(dataset, tmp_path / "run", *options)) == 2
    assert said in capsys.readouterr().err
