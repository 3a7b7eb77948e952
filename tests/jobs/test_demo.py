import json
from pathlib import Path

import pytest

from jobs.cli import main

PLACES = (
    "colorized/images",
    "colorized/metrics",
    "colorized/report/index.html",
    "evaluation/table.md",
    "evaluation/grid.png",
    "evaluation/report/index.html",
    "run/best",
)


@pytest.mark.long
@pytest.mark.usefixtures("ray_local")
def test_demo_goes_through_every_verb_and_ends_with_where_things_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "demo"
    assert main(["demo", f"output={output}"]) == 0
    ending = capsys.readouterr().out.split("demo finished")[1]
    for place in PLACES:
        assert str(output / place) in ending
        assert (output / place).exists()
    counts = json.loads((output / "colorized" / "run.json").read_text())["counts"]
    assert counts == {"ok": 8, "truncated": 1}


def test_demo_keeps_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("precious")
    assert main(["demo", f"output={tmp_path}"]) == 2
    assert "not empty" in capsys.readouterr().err
