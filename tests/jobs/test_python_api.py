"""Jobs called from Python instead of from the command line."""

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from colorize_core.errors import UserError

ROOT = Path(__file__).parents[2]


def test_an_archive_is_colorized_from_python(
    ray_local: None, photo_paths: list[Path], tiny_checkpoint: str, tmp_path: Path
) -> None:
    from jobs.archive import ArchiveConfig, run

    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    for path in photo_paths[:2]:
        shutil.copy(path, source)
    config = ArchiveConfig(source=str(source), output=str(output), checkpoint=tiny_checkpoint, report=False)
    assert run(config) == 0
    rows = pd.read_parquet(output / "metrics")
    assert sorted(rows.key) == sorted(path.name for path in photo_paths[:2])
    with pytest.raises(UserError, match="different configuration"):
        run(config.model_copy(update={"format": "png"}))


@pytest.mark.parametrize(
    ("verb", "config"),
    [
        ("archive", "ArchiveConfig"),
        ("prepare", "PrepareConfig"),
        ("train", "TrainConfig"),
        ("evaluate", "EvaluateConfig"),
    ],
)
def test_jobs_offer_a_configuration_class_and_run(verb: str, config: str) -> None:
    code = (
        "import inspect\n"
        f"from jobs.{verb} import {config}, run\n"
        f"assert isinstance({config}, type)\n"
        "assert inspect.signature(run).parameters['verbose'].default is False\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_import_error() -> None:
    with pytest.raises(ImportError):
        from jobs.archive import nothing  # type: ignore[attr-defined]  # noqa: F401


def test_the_tasks_of_an_archive_import_neither_torch_nor_the_driver() -> None:
    """The package exports the names of the driver; the many processes of its tasks must not import them."""
    unneeded = {"torch", "ray.data", "jobs.archive.job", "jobs.archive.config", "jobs.command.console"}
    code = f"import sys, jobs.archive.tasks; print(sorted({unneeded} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
