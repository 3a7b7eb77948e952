"""Sweeps: expansion of grids, and how trials run, fail, continue and are compared."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from cluster.errors import ClusterError
from cluster.storage.stores import open_storage
from colorize_core.errors import UserError
from jobs.cli import main
from jobs.run.record import begin_run, write_record
from jobs.sweep.config import SweepConfig
from jobs.sweep.job import trial_name
from jobs.train import job as train
from jobs.train.config import TrainConfig
from jobs.train.outputs.metrics_file import write_metrics

CONFIG = Path(__file__).parents[3] / "configs" / "papers" / "gray-to-glory" / "sweep.yaml"
BASE: dict[str, Any] = {
    "model": {"name": "encoder_decoder", "options": {"widths": [8, 8], "latent": 8}},
    "loss": {"l1": 1},
    "optim": {"epochs": 1, "batch_size": 4, "shuffle_buffer": 8, "samples": 1, "lr": 0.001},
}


def write(folder: Path, grid: Any, base: dict[str, Any] = BASE) -> str:
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump({**base, "grid": grid}, sort_keys=False))
    return str(file)


def command(file: str, dataset: str, output: Path | str, *more: str) -> list[str]:
    return ["sweep", "--config", file, f"shards={dataset}", f"output={output}", *more]


def listed(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> list[str]:
    """Names of the trials that --dry-run lists."""
    capsys.readouterr()
    assert main([*arguments, "--dry-run"]) == 0
    _, _, plan = capsys.readouterr().out.partition("sweep would run")
    return [line.split()[0] for line in plan.splitlines()[1:]]


# Grids


def test_a_grid_is_every_combination(dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, {"optim.lr": [0.001, "1e-2"], "optim.batch_size": [2, 4]})
    assert listed(capsys, command(file, dataset, tmp_path / "out")) == [
        "optim.lr=0.001,optim.batch_size=2",
        "optim.lr=0.001,optim.batch_size=4",
        "optim.lr=0.01,optim.batch_size=2",
        "optim.lr=0.01,optim.batch_size=4",
    ]
    assert not (tmp_path / "out").exists()


def test_a_list_of_grids_trains_shared_combinations_once(
    dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, [{"optim.lr": [0.001, 0.01]}, {"optim.batch_size": [2, 4]}, {"optim.lr": ["1e-2"]}])
    assert listed(capsys, command(file, dataset, tmp_path / "out")) == [
        "optim.lr=0.001",
        "optim.lr=0.01",
        "optim.batch_size=2",
    ]


def test_a_grid_on_the_command_line(dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, {"optim.lr": [0.001]})
    for grid in ("grid={optim.epochs: [2, 3]}", "grid={optim: {epochs: [2, 3]}}"):
        assert listed(capsys, [*command(file, dataset, tmp_path / "out"), grid]) == ["optim.epochs=2", "optim.epochs=3"]


def test_names_of_trials_need_no_quoting_in_paths() -> None:
    assert trial_name({"optim.betas": [0.5, 0.999], "model.init_from": "s3://b/a run"}) == (
        "optim.betas=0.5_0.999,model.init_from=s3-b-a-run"
    )
    assert trial_name({"a": -1, "b": {"c": [1, 2]}}) == "a=-1,b=c-1-2"
    assert trial_name({"discriminator.lr": None, "augment.flip": False}) == "discriminator.lr=none,augment.flip=false"


def test_the_sweep_of_gray_to_glory_varies_its_five_parameters(
    dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["model.name=encoder_decoder", "grid=null"]
    values = yaml.safe_load(CONFIG.read_text())
    grids = [
        {key: [min(each, 16) if key == "optim.batch_size" else each for each in some]}
        for grid in values["grid"]
        for key, some in grid.items()
    ]
    small[1] = f"grid={json.dumps(grids)}"
    names = listed(capsys, command(str(CONFIG), dataset, tmp_path / "out", "optim.batch_size=16", *small))
    assert {name.partition("=")[0] for name in names} == {
        "discriminator.layers",
        "optim.lr",
        "optim.betas",
        "optim.batch_size",
        "optim.epochs",
    }
    assert SweepConfig.load(str(CONFIG), ["shards=x", "output=y"]).shared["optim"]["betas"] == [0.5, 0.999]


# Running


@pytest.fixture(scope="module")
def swept(dataset: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A sweep that is interrupted before its second trial, then continued with one more, whose folder is not empty.

    The first trial is trained, the second only recorded.
    """
    folder = tmp_path_factory.mktemp("sweep")
    trials = folder / "out" / "trials"
    started: list[str] = []
    run = train.run

    def record(config: TrainConfig, verbose: bool) -> int:
        if not config.output.endswith("optim.lr=0.002"):
            return run(config, verbose)
        output = open_storage(config.output, config.storage)
        values = begin_run(output, "train", config, train.check_inputs(config).fingerprints)
        epoch = {"epoch": 1, "mae_ab": 0.1, "gray_mae_ab": 0.09, "psnr": 20, "ssim": 0.9, "images_per_second": 50}
        write_metrics(output, [epoch])
        write_record(output, values | {"status": "done"})
        return 0

    def interrupted_at_the_second(config: TrainConfig, verbose: bool) -> int:
        started.append(Path(config.output).name)
        if len(started) == 2:
            raise KeyboardInterrupt
        return run(config, verbose)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "run", interrupted_at_the_second)
        codes = [main(command(write(folder, {"optim.lr": [0.001, 0.002]}), dataset, folder / "out"))]
    halfway = (folder / "out" / "comparison.md").read_text()
    weights = trials / "optim.lr=0.001" / "last" / "model.safetensors"
    written = weights.stat().st_mtime_ns

    (trials / "optim.lr=0.003").mkdir()
    (trials / "optim.lr=0.003" / "notes.txt").write_text("not a run")
    file = write(folder, {"optim.lr": [0.001, 0.003, 0.002]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "run", record)
        codes.append(main(command(file, dataset, folder / "out")))
    return {
        "file": file,
        "output": folder / "out",
        "codes": codes,
        "started": started,
        "halfway": halfway,
        "repeated": weights.stat().st_mtime_ns != written,
    }


def rows(output: Path) -> dict[str, dict[str, str]]:
    with (output / "comparison.csv").open() as file:
        return {row["trial"]: row for row in csv.DictReader(file)}


def test_an_interrupted_sweep_continues_and_repeats_nothing(swept: dict[str, Any]) -> None:
    assert swept["started"] == ["optim.lr=0.001", "optim.lr=0.002"]
    assert "| waiting |" in swept["halfway"]
    assert not swept["repeated"]
    assert rows(swept["output"])["optim.lr=0.002"]["status"] == "done"


def test_a_failed_trial_is_a_row_with_its_reason_and_the_others_run(swept: dict[str, Any]) -> None:
    assert swept["codes"] == [130, 1]  # the first attempt was interrupted
    found = rows(swept["output"])
    assert list(found)[-1] == "optim.lr=0.003"
    assert found["optim.lr=0.003"]["status"].startswith("failed: ")
    assert "contains no train run" in found["optim.lr=0.003"]["status"]
    assert {found[name]["status"] for name in ("optim.lr=0.001", "optim.lr=0.002")} == {"done"}


def test_a_failure_inside_a_worker_is_one_line(
    ray_local: None, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray Train raises a wrapper that contains the exception of the worker."""

    def diverges(config: TrainConfig, verbose: bool) -> int:
        wrapper = RuntimeError("Training failed.\nTraceback ...")
        wrapper.worker_failures = {0: UserError(f"lr {config.optim.lr}: diverged")}  # type: ignore[attr-defined]
        raise wrapper

    monkeypatch.setattr(train, "run", diverges)
    assert main(command(write(tmp_path, {"optim.lr": [0.1, 0.2]}), dataset, tmp_path / "out")) == 1
    assert [row["status"] for row in rows(tmp_path / "out").values()] == [
        "failed: lr 0.1: diverged",
        "failed: lr 0.2: diverged",
    ]


def test_the_loss_of_the_cluster_ends_the_sweep(
    ray_local: None,
    dataset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    one_line: Callable[[list[str], int], str],
) -> None:
    def unreachable(config: TrainConfig, verbose: bool) -> int:
        raise ClusterError("the cluster does not answer")

    monkeypatch.setattr(train, "run", unreachable)
    file = write(tmp_path, {"optim.lr": [0.1, 0.2]})
    assert "the cluster does not answer" in one_line(command(file, dataset, tmp_path / "out"), 1)
    assert not (tmp_path / "out" / "comparison.csv").exists()


def test_scores_are_those_of_the_metrics_of_each_trial(swept: dict[str, Any]) -> None:
    for name, row in rows(swept["output"]).items():
        if row["status"] == "done":
            with (swept["output"] / "trials" / name / "metrics.csv").open() as file:
                last = list(csv.DictReader(file))[-1]
            for column in ("mae_ab", "gray_mae_ab", "psnr", "ssim", "images_per_second"):
                assert float(row[column]) == float(last[column])


def test_trials_are_runs_of_train_with_their_own_values(swept: dict[str, Any]) -> None:
    for name, lr in (("optim.lr=0.001", 0.001), ("optim.lr=0.002", 0.002)):
        run = json.loads((swept["output"] / "trials" / name / "run.json").read_text())
        assert (run["verb"], run["status"], run["config"]["optim"]["lr"]) == ("train", "done", lr)
        assert run["config"]["optim"]["batch_size"] == 4


def test_the_table_and_the_curves_are_there(swept: dict[str, Any]) -> None:
    table = (swept["output"] / "comparison.md").read_text()
    assert table.count("\n| ") == 3  # a line for each trial below the header
    assert Image.open(swept["output"] / "curves.png").format == "PNG"


def test_dry_run_lists_done_and_remaining_trials(
    swept: dict[str, Any], dataset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command(swept["file"], dataset, swept["output"]), "--dry-run"]) == 0
    plan = capsys.readouterr().out
    assert "sweep would run 1 of 3 trials" in plan
    assert "optim.lr=0.001  (done)" in plan
    assert "optim.lr=0.003  (1 epoch)" in plan


def test_finished_trials_are_compared_without_starting_ray(
    swept: dict[str, Any], dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.sweep.job.ray_session", lambda *_, **__: pytest.fail("Ray was started"))
    file = write(tmp_path, {"optim.lr": [0.002, 0.001]})
    (swept["output"] / "comparison.md").unlink()
    assert main(command(file, dataset, swept["output"])) == 0
    assert (swept["output"] / "comparison.md").read_text().count("| done |") == 2


def test_a_finished_trial_on_other_photographs_does_not_count_as_done(
    swept: dict[str, Any], dataset: str, tmp_path: Path, ray_local: None
) -> None:
    """The dataset was prepared again: `train` refuses to continue, and the table has the reason."""
    info = Path(dataset) / "dataset.json"
    before = info.read_text()
    info.write_text(json.dumps(json.loads(before) | {"fingerprint": "0" * 64}))
    try:
        file = write(tmp_path, {"optim.lr": [0.001]})
        assert main(command(file, dataset, swept["output"])) == 1
    finally:
        info.write_text(before)
    assert "contents of shards" in rows(swept["output"])["optim.lr=0.001"]["status"]
    assert main(command(file, dataset, swept["output"])) == 0


# Mistakes


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({"optim.lrr": [1]}, "trial optim.lrr=1: optim.lrr = 1: unknown key; did you mean optim.lr?"),
        ({"optim.lr": [0.1, -1]}, "trial optim.lr=-1: optim.lr = -1: input should be greater than 0"),
        ({"optim.lr": 0.1}, "grid = 0.1: input should be a valid list"),
        ({"optim.lr": []}, "grid: optim.lr has no values"),
        ([], "grid = []: list should have at least 1 item"),
        ({}, "grid: give keys of train with lists of values"),
        ({"output": ["a"]}, "grid: output cannot vary"),
        ({"optim.batch_size": [4, 4000]}, "do not fill one batch of 4000"),
        ({"model.name": ["encoder_decoder", "resnet_unett"]}, "did you mean"),
        ({"discriminator.layers": [1, 2]}, "discriminator has no effect without loss.adversarial"),
        (
            {"model.options.widths": [[8] * 100]},
            "too long for the name of a folder",
        ),
    ],
)
def test_a_mistake_in_any_trial_is_one_line_before_one_starts(
    grid: Any, said: str, dataset: str, tmp_path: Path, one_line: Callable[[list[str], int], str]
) -> None:
    assert said in one_line(command(write(tmp_path, grid), dataset, tmp_path / "out"), 2)
    assert not (tmp_path / "out").exists()


def test_keys_under_the_section_of_earlier_versions_are_refused_with_their_new_name(
    dataset: str, tmp_path: Path, one_line: Callable[[list[str], int], str]
) -> None:
    file = write(tmp_path, {"optim.lr": [1]}, {"train": BASE})
    line = one_line(command(file, dataset, tmp_path / "out"), 2)
    assert "train.model.name = 'encoder_decoder': this key is now called model.name" in line


def test_an_unknown_section_is_refused(dataset: str, tmp_path: Path, one_line: Callable[[list[str], int], str]) -> None:
    line = one_line([*command(write(tmp_path, {"optim.lr": [1]}), dataset, tmp_path / "out"), "losses.l1=1"], 2)
    assert "losses = {'l1': 1}: unknown key; did you mean loss?" in line


def test_another_base_in_the_same_output_is_refused(
    swept: dict[str, Any], dataset: str, one_line: Callable[[list[str], int], str]
) -> None:
    line = one_line([*command(swept["file"], dataset, swept["output"]), "optim.batch_size=2"], 2)
    assert "(optim.batch_size 4 -> 2)" in line


def test_names_that_clash_are_refused(dataset: str, tmp_path: Path, one_line: Callable[[list[str], int], str]) -> None:
    (tmp_path / "a b").symlink_to(dataset)
    (tmp_path / "a-b").symlink_to(dataset)
    file = write(tmp_path, {"shards": [f"{tmp_path}/a b", f"{tmp_path}/a-b"]})
    assert "two combinations of values would have this name" in one_line(command(file, dataset, tmp_path / "out"), 2)
