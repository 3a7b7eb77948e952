import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colorize_core.benchmark.baselines import inference as peers
from colorize_core.benchmark.baselines.clock import KERNELS
from colorize_core.benchmark.baselines.inference import Pace
from colorize_core.runtime.stage_timer import INFER
from jobs.benchmark.advice import archive_advice
from jobs.benchmark.archive import job_window
from jobs.benchmark.archive_figures import REST, Round, summarize
from jobs.benchmark.job import KINDS
from jobs.cli import main

FIGURES = (
    "images_per_second",
    "core_ms_per_image",
    "core_ms_outside_model",
    "ratio_to_peer",
    "ratio_to_peer_opencv",
    "fraction_of_limit",
    "start_up_seconds",
    "peak_memory_bytes",
)


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "benchmark.json").read_text())


@pytest.mark.slow
def test_archive_writes_every_figure_a_table_and_a_picture(
    tmp_path: Path, tiny_checkpoint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "has_opencv", lambda: False)
    keys = [f"output={tmp_path}", f"checkpoint={tiny_checkpoint}", "photographs=32", "peer_photographs=2", "rounds=1"]
    assert main(["benchmark", "archive", *keys]) == 0
    shown = capsys.readouterr().out
    found = read(tmp_path)
    assert all(name in found for name in FIGURES)
    spent = dict(found["core_ms_per_image"])
    assert sum(spent.values()) == pytest.approx(2 * spent["total"])  # its parts and their sum
    assert found["core_ms_outside_model"] == pytest.approx(spent["total"] - spent[INFER])
    assert found["ratio_to_peer_opencv"] is None
    assert found["peer_opencv"] is None
    assert "OpenCV is not installed" in shown
    assert "beside scikit-image" in shown
    assert sorted(file.name for file in tmp_path.iterdir()) == ["benchmark.json", "benchmark.md", "stages.png"]
    assert (tmp_path / "benchmark.md").read_text().count("| colorize archive |") == 1


@pytest.mark.long
def test_archive_takes_photographs_of_the_users(tmp_path: Path, photo_folder: Path, tiny_checkpoint: str) -> None:
    (tmp_path / "mine").mkdir()
    for number, file in enumerate(sorted(photo_folder.rglob("*.jpg"))[:8]):
        (tmp_path / "mine" / f"{number}.jpg").write_bytes(file.read_bytes())
    (tmp_path / "mine" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    keys = [f"source={tmp_path / 'mine'}", f"checkpoint={tiny_checkpoint}", "peer_photographs=2", "rounds=1"]
    assert main(["benchmark", "archive", f"output={tmp_path / 'out'}", *keys]) == 0
    assert read(tmp_path / "out")["photographs"] == 8


@pytest.mark.long
def test_train_compares_with_the_tutorials_and_the_bare_step(tmp_path: Path) -> None:
    keys = [f"output={tmp_path}", "size=32", "batch_size=4", "steps=2", "rounds=1", "optim.prefetch=1"]
    assert main(["benchmark", "train", *keys]) == 0
    found = read(tmp_path)
    assert found["images_per_second"] > 0
    assert found["fraction_of_bare_step"] == pytest.approx(found["images_per_second"] / found["bare_images_per_second"])
    assert found["ratio_to_peer"] == pytest.approx(found["images_per_second"] / found["tutorial_images_per_second"])
    assert found["data_wait_ms"] > 0
    table = (tmp_path / "benchmark.md").read_text()
    assert "tutorials' loop" in table
    assert all(f"bare step without {name}" in table for name in ("bf16", "channels_last", "fused optimizer"))


@pytest.mark.long
def test_prepare_compares_with_a_loop_with_scikit_image(tmp_path: Path) -> None:
    keys = [f"output={tmp_path}", "size=32", "photographs=32", "peer_photographs=2", "rounds=1"]
    assert main(["benchmark", "prepare", *keys]) == 0
    found = read(tmp_path)
    assert set(found["ratio_to_peer"]) == {"scikit-image", "scikit-image, Pillow resizing"}
    assert 32 * 32 < found["shard_bytes_per_image"] < 10_000


def test_model_tells_that_there_is_no_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = [f"output={tmp_path}", "models=[lite]", "sizes=[64]", "batches=[1]", "precisions=[fp32]", "repeats=1"]
    assert main(["benchmark", "model", *keys]) == 0
    found = read(tmp_path)
    assert [row["work"] for row in found["speeds"]] == ["forward", "training step"]
    assert ("no GPU is at hand" in capsys.readouterr().out) == (found["machine"]["gpu"] is None)


def a_round(**changes: Any) -> Round:
    kernels = dict.fromkeys(KERNELS, 2.0)
    values = {
        "images_per_second": 50.0,
        "core_ms": 30.0,
        "start_up_seconds": 9.0,
        "peak_memory_bytes": 3,
        "driver_memory_bytes": 1,
        "alone": {"decode": 2.0, "shrink": 1.0, "infer": 20.0, "paint": 3.0, "encode": 1.0},
        "limit": kernels,
        "peers": {"peer": (Pace(0.2, kernels), Pace(0.1, kernels))},
    }
    return Round(**(values | changes))


def test_figures_are_medians_and_ratios_are_taken_within_rounds() -> None:
    slow = a_round(images_per_second=25.0, peers={"peer": (Pace(0.4, dict.fromkeys(KERNELS, 2.0)), Pace(0.2, {}))})
    found = summarize([a_round(), slow, a_round(start_up_seconds=20.0)], cores=2)
    assert found["images_per_second"] == 50
    assert found["ratio_to_peer"] == pytest.approx(5)  # of 10 images/s, the faster of both forms
    assert found["start_up_seconds"] == 9
    assert found["core_ms_per_image"][REST] == pytest.approx(3)
    assert found["core_ms_outside_model"] == pytest.approx(10)
    assert found["limit"]["images_per_second"] == pytest.approx(2 * 1000 / 14)
    assert found["fraction_of_limit"] == pytest.approx(50 * 14 / 2000)


def test_a_job_is_measured_between_its_warm_up_and_its_last_picture() -> None:
    assert job_window([5.0, 1.0, 2.0, 3.0, 4.0], warm=2) == (2.0, 5.0, 3)
    assert job_window([1.0, 2.0, 3.0, 4.0], warm=10) == (2.0, 4.0, 2)


def figures(**changes: Any) -> dict[str, Any]:
    spent = {"decode": 1.0, "infer": 8.0, "paint": 1.0, "encode": 1.0, REST: 1.0, "total": 12.0}
    machine = {"load": 0.1, "cores": 2, "bf16": True}
    plain = {"machine": machine, "core_ms_per_image": spent, "config": {"model": "lite"}, "fraction_of_limit": 0.5}
    return plain | changes


def test_advice_names_what_takes_the_time() -> None:
    assert archive_advice(figures()) == [
        "The model takes 67% of the time: a GPU would help, or a smaller working_size."
    ]
    busy = figures(machine={"load": 3.0, "cores": 2, "bf16": False}, config={"model": "resnet_unet"})
    lines = archive_advice(busy)
    assert "load 3.0" in lines[0]
    assert "lite" in lines[1]
    assert "bf16" in lines[2]
    decoding = {"decode": 9.0, "infer": 1.0, "paint": 1.0, "encode": 1.0, REST: 0.0, "total": 12.0}
    assert "Decoding takes 75%" in archive_advice(figures(core_ms_per_image=decoding))[0]


@pytest.mark.parametrize("kind", KINDS)
def test_help_of_a_kind_lists_its_keys(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", kind, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"colorize benchmark {kind}" in text
    assert "output" in text


@pytest.mark.parametrize("kind", KINDS)
def test_a_dry_run_tells_what_would_run(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", kind, f"output={tmp_path / 'out'}", "--dry-run"]) == 0
    assert "benchmark would" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["everything"], "benchmark 'everything': unknown; benchmarks are archive, train, prepare, model"),
        (["archive", "checkpoint=a", "model=lite"], "give either checkpoint or model"),
        (["archive", "photographs=3"], "photographs = 3"),
        (["archive", "output=s3://bucket/x"], "figures are written to a local folder"),
        (["archive", "ray.address=host:6379"], "leave ray.address and RAY_ADDRESS empty"),
        (["archive", "model=light"], "model 'light' is unknown; did you mean 'lite'?"),
        (["train", "model=light"], "model 'light' is unknown; did you mean 'lite'?"),
        (["train", "train.prefetsh=3"], "train.prefetsh = 3: unknown key; did you mean optim.prefetch?"),
        (["train", "optim.epochs=3"], "epochs is not for choosing; steps and batch_size say how much is done"),
        (["model", "models=[light]"], "'light' is unknown; there are"),
        (["model", "sizes=[100]"], "100 is not a multiple of 32"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], said: str, one_line: Callable[[list[str], int], str]) -> None:
    assert said in one_line(["benchmark", *arguments], 2)


def test_a_checkpoint_that_is_not_there_is_one_line(tmp_path: Path, one_line: Callable[[list[str], int], str]) -> None:
    keys = [f"output={tmp_path / 'out'}", f"checkpoint={tmp_path / 'none'}", "photographs=32", "rounds=1"]
    assert str(tmp_path / "none") in one_line(["benchmark", "archive", *keys], 2)
    assert not (tmp_path / "out").exists()
