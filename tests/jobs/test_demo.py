import json
from pathlib import Path

import pytest

from jobs.cli import main

RESULTS = (
    "colorized/images",
    "colorized/metrics",
    "colorized/report/index.html",
    "evaluation/table.md",
    "evaluation/report/index.html",
    "run/best",
    "before-after.png",
)


@pytest.mark.long
@pytest.mark.usefixtures("ray_local")
def test_demo_runs_every_step_and_prints_the_locations_of_the_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "demo"
    assert main(["demo", f"output={output}"]) == 0
    ending = capsys.readouterr().out.split("demo finished")[1]
    assert str(output / "before-after.png") in ending.splitlines()[-1]
    for result in RESULTS:
        assert str(output / result) in ending
        assert (output / result).exists()
    counts = json.loads((output / "colorized" / "run.json").read_text())["counts"]
    assert counts == {"ok": 9, "truncated": 1}


def test_demo_refuses_a_folder_that_is_not_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("precious")
    assert main(["demo", f"output={tmp_path}"]) == 2
    assert "not empty" in capsys.readouterr().err
