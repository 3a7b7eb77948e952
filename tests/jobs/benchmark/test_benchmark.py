import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ClusterError
from cluster.storage.stores import LocalStorage
from colorize_core.benchmark import background_load
from colorize_core.benchmark.baselines import inference
from colorize_core.benchmark.baselines.timing import Kernel
from colorize_core.benchmark.process_usage import UsageMonitor
from colorize_core.errors import UserError
from colorize_core.runtime.stage_timer import DECODE, ENCODE, INFER, PAINT, SHRINK
from jobs.archive.config import ArchiveConfig
from jobs.benchmark import archive as archive_benchmark
from jobs.benchmark.advice import archive_advice
from jobs.benchmark.archive import job_window
from jobs.benchmark.archive_figures import OVERHEAD, derive_figures
from jobs.benchmark.processes import VerbProcess, run_verb
from jobs.benchmark.rounds import median_figures
from jobs.cli import main
from jobs.command.verb import VERBS
from jobs.report_config import ReportConfig
from tests.jobs.report_runs import archive_rows, write_archive_run

pytestmark = pytest.mark.slow

KINDS = list(VERBS["benchmark"].kinds)
FIGURES = (
    "images_per_second",
    "core_ms_per_image",
    "core_ms_outside_model",
    "ratio_to_peer",
    "ratio_to_peer_opencv",
    "fraction_of_limit",
    "start_up_seconds",
    "peak_memory_bytes",
    "driver_memory_bytes",
)


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "benchmark.json").read_text())


def run_in_this_process(verb: str, config: ArchiveConfig, work: Path) -> VerbProcess:
    """Stand-in for `run_verb` that uses the Ray of the tests."""
    from jobs.archive import job as archive_job

    start = time.time()
    with UsageMonitor(os.getpid()) as usage:
        assert archive_job.run(config, False) == 0
    return VerbProcess(start, time.time(), usage)


def test_archive_writes_every_figure_a_table_and_a_chart(
    tmp_path: Path,
    ray_local: None,
    tiny_checkpoint: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inference, "has_opencv", lambda: False)
    monkeypatch.setattr(archive_benchmark, "run_verb", run_in_this_process)
    monkeypatch.setattr(background_load, "background_load", lambda *_: nullcontext())
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
    assert sorted(file.name for file in tmp_path.iterdir()) == ["benchmark.json", "benchmark.md", "stages.png"]
    assert (tmp_path / "benchmark.md").read_text().count("| colorize archive |") == 1


@pytest.fixture
def archive_run(tmp_path: Path) -> Path:
    rows = archive_rows(2)
    write_archive_run(LocalStorage(str(tmp_path / "run")), str(tmp_path / "none"), rows)
    return tmp_path / "run"


def test_a_verb_runs_in_a_measured_process(tmp_path: Path, archive_run: Path) -> None:
    config = ReportConfig.part({"run": [str(archive_run)]}, "test")
    found = run_verb("report", config, tmp_path)
    assert (archive_run / "report" / "index.html").exists()
    assert found.core_seconds > 0.1
    assert found.seconds > 0.1
    assert found.usage.peak_memory > 10_000_000


def test_errors_of_a_verb_keep_their_kind_and_message(tmp_path: Path, archive_run: Path) -> None:
    nowhere = ReportConfig.part({"run": [str(tmp_path / "nowhere")]}, "test")
    with pytest.raises(UserError, match=r"^report: .*nowhere"):
        run_verb("report", nowhere, tmp_path)
    (archive_run / "metrics" / "part-00000.parquet").write_bytes(b"damaged")
    with pytest.raises(ClusterError, match=r"^report: failed"):
        run_verb("report", ReportConfig.part({"run": [str(archive_run)]}, "test"), tmp_path)


@pytest.mark.long
def test_archive_draws_photographs_from_a_source(tmp_path: Path, photo_folder: Path, tiny_checkpoint: str) -> None:
    (tmp_path / "mine").mkdir()
    for number, file in enumerate(sorted(photo_folder.rglob("*.jpg"))[:8]):
        (tmp_path / "mine" / f"{number}.jpg").write_bytes(file.read_bytes())
    (tmp_path / "mine" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    keys = [f"source={tmp_path / 'mine'}", f"checkpoint={tiny_checkpoint}", "peer_photographs=2", "rounds=1"]
    assert main(["benchmark", "archive", f"output={tmp_path / 'out'}", *keys]) == 0
    assert read(tmp_path / "out")["photographs"] == 8


@pytest.mark.long
def test_train_is_compared_with_a_loop_and_the_step_alone(tmp_path: Path) -> None:
    keys = [f"output={tmp_path}", "size=32", "batch_size=4", "steps=2", "rounds=1", "optim.prefetch=1"]
    assert main(["benchmark", "train", *keys]) == 0
    found = read(tmp_path)
    assert found["images_per_second"] > 0
    assert found["fraction_of_step"] == pytest.approx(found["images_per_second"] / found["step_images_per_second"])
    assert found["ratio_to_peer"] == pytest.approx(found["images_per_second"] / found["loop_images_per_second"])
    assert found["data_wait_ms"] > 0
    table = (tmp_path / "benchmark.md").read_text()
    assert "plain PyTorch loop" in table
    assert all(f"step without {name}" in table for name in ("bf16", "channels_last", "fused optimizer"))


@pytest.mark.long
def test_prepare_is_compared_with_loops_with_scikit_image(tmp_path: Path) -> None:
    keys = [f"output={tmp_path}", "size=32", "photographs=32", "peer_photographs=2", "rounds=1"]
    assert main(["benchmark", "prepare", *keys]) == 0
    found = read(tmp_path)
    assert set(found["ratio_to_peer"]) == {"scikit-image", "scikit-image, Pillow resizing"}
    assert 32 * 32 < found["shard_bytes_per_image"] < 10_000


def test_model_needs_neither_ray_nor_boto3(tmp_path: Path) -> None:
    keys = [f"output={tmp_path}", "models=[lite]", "sizes=[64]", "batches=[1]", "precisions=[fp32]", "repeats=1"]
    code = (
        "import sys; sys.modules |= dict.fromkeys(['ray', 'boto3'])\n"
        "from jobs.cli import main\n"
        "if __name__ == '__main__': sys.exit(main(sys.argv[1:]))"
    )
    script = tmp_path / "without.py"  # a file, since the benchmark starts processes that import the main module
    script.write_text(code)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, str(script), "benchmark", "model", *keys]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found = read(tmp_path)
    assert [row["work"] for row in found["speeds"]] == ["forward", "training step"]
    assert "| lite | forward | 64 | 1 | fp32 | eager |" in done.stdout
    assert ("no GPU" in done.stdout) == (found["machine"]["gpu"] is None)


def test_figures_of_rounds_are_medians_and_those_of_memory_maxima() -> None:
    rounds = [{"a": {"b": value}, "memory_bytes": value, "none": None} for value in (3.0, 9.0, 1.0)]
    assert median_figures(rounds) == {"a": {"b": 3.0}, "memory_bytes": 9.0, "none": None}


def test_archive_figures_are_derived_from_the_medians() -> None:
    kernels = {kernel.value: 2.0 for kernel in Kernel}
    found = derive_figures(
        {
            "machine": {"cores": 2},
            "core_ms": 30.0,
            "colorizer_core_ms": {DECODE: 2.0, SHRINK: 1.0, INFER: 20.0, PAINT: 3.0, ENCODE: 1.0},
            "limit": {"kernels": kernels},
            "peer": {"seconds": 0.1, "kernels": kernels},
            "peer_opencv": None,
        }
    )
    assert found["core_ms_per_image"][OVERHEAD] == pytest.approx(3)
    assert found["core_ms_per_image"]["total"] == 30
    assert found["core_ms_outside_model"] == pytest.approx(10)
    assert found["limit"]["images_per_second"] == pytest.approx(2 * 1000 / 14)
    assert found["peer"]["images_per_second"] == pytest.approx(10)
    assert found["peer"]["core_ratio"] == pytest.approx(14 / 30)
    assert found["peer"]["core_ms_per_image"] == {DECODE: 2, SHRINK: 4, INFER: 2, PAINT: 4, ENCODE: 2, "total": 14}
    assert found["peer_opencv"] is None


def test_a_job_is_measured_from_its_warm_up_to_its_last_image() -> None:
    assert job_window([5.0, 1.0, 2.0, 3.0, 4.0], warm_up=2) == (2.0, 5.0, 3)
    assert job_window([1.0, 2.0, 3.0, 4.0], warm_up=10) == (2.0, 4.0, 2)


def test_photographs_written_at_the_same_moment_cannot_be_measured() -> None:
    with pytest.raises(UserError, match="3 photographs were written at the same moment; raise photographs="):
        job_window([1.0, 4.0, 4.0, 4.0, 4.0], warm_up=2)


def figures(**changes: Any) -> dict[str, Any]:
    spent = {DECODE: 1.0, INFER: 8.0, PAINT: 1.0, ENCODE: 1.0, OVERHEAD: 1.0, "total": 12.0}
    machine = {"load": 0.1, "cores": 2, "bf16": True}
    plain = {"machine": machine, "core_ms_per_image": spent, "config": {"model": "lite"}, "fraction_of_limit": 0.5}
    return plain | changes


def test_advice_names_what_takes_most_of_the_time() -> None:
    (line,) = archive_advice(figures())
    assert "The model takes 67%" in line
    assert "lite" not in line
    busy = figures(machine={"load": 3.0, "cores": 2, "bf16": False}, config={"model": "resnet_unet"})
    lines = archive_advice(busy)
    assert "load 3.0" in lines[0]
    assert "lite" in lines[1]
    assert "bf16" in lines[2]
    decoding = {DECODE: 9.0, INFER: 1.0, PAINT: 1.0, ENCODE: 1.0, OVERHEAD: 0.0, "total": 12.0}
    assert "Decoding takes 75%" in archive_advice(figures(core_ms_per_image=decoding))[0]


@pytest.mark.parametrize("kind", VERBS["benchmark"].kinds)
def test_help_of_a_kind_lists_its_keys(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", kind, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"colorize benchmark {kind}" in text
    assert "output" in text


@pytest.mark.parametrize("kind", VERBS["benchmark"].kinds)
def test_a_dry_run_measures_nothing(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", kind, f"output={tmp_path / 'out'}", "--dry-run"]) == 0
    assert "benchmark would" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["everything"], "benchmark 'everything': unknown; choose from archive, train, prepare, model"),
        (["archive", "checkpoint=a", "model=lite"], "give either checkpoint or model"),
        (["archive", "photographs=3"], "photographs = 3"),
        (["archive", "output=s3://bucket/x"], "must be a local folder"),
        (["archive", "ray.address=host:6379"], "unset ray.address and RAY_ADDRESS"),
        (["archive", "model=light"], "model 'light' is unknown; did you mean 'lite'?"),
        (["train", "model=light"], "model 'light' is unknown; did you mean 'lite'?"),
        (["train", "optim.prefetsh=3"], "optim.prefetsh = 3: unknown key; did you mean optim.prefetch?"),
        (["train", "train.prefetch=3"], "this key is now called optim.prefetch"),
        (["train", "optim.epochs=3"], "epochs cannot be set here"),
        (["model", "models=[light]"], "'light' is unknown; choose from"),
        (["model", "sizes=[100]"], "100 must be a multiple of 32"),
    ],
)
def test_usage_errors_are_one_line(
    arguments: list[str], message: str, one_line: Callable[[list[str], int], str]
) -> None:
    assert message in one_line(["benchmark", *arguments], 2)


def test_a_missing_checkpoint_is_one_line(tmp_path: Path, one_line: Callable[[list[str], int], str]) -> None:
    keys = [f"output={tmp_path / 'out'}", f"checkpoint={tmp_path / 'none'}", "photographs=32", "rounds=1"]
    assert str(tmp_path / "none") in one_line(["benchmark", "archive", *keys], 2)
    assert not (tmp_path / "out").exists()
