import subprocess
import sys
from collections.abc import Callable

import pytest

from jobs.cli import VERBS, main

HEAVY = ("torch", "ray", "pyarrow", "PIL", "numpy")


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(verb in text for verb in VERBS)


def test_no_verb_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2


def test_unknown_verb_is_one_line(one_line: Callable[[list[str], int], str]) -> None:
    assert "unknown verb 'colour'" in one_line(["colour"], 2)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_shows_usage(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert f"colorize {verb}" in capsys.readouterr().out


def test_help_of_a_job_shows_keys_with_default_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    main(["archive", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "max_failed_fraction Share of inputs that may fail" in text
    assert "default 0.05" in text


@pytest.mark.parametrize("arguments", [["--help"], ["archive", "--help"], ["train", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from jobs.cli import main; main(sys.argv[1:]); "
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_dry_run_prints_the_resolved_config_and_what_would_run(
    tmp_path: object, tiny_checkpoint: str, photo_folder: object, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"source={photo_folder}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}", "--dry-run"]
    assert main(["archive", *arguments]) == 0
    text = capsys.readouterr().out
    assert "max_failed_fraction: 0.05" in text
    assert "archive would colour the photographs below" in text


def test_unknown_option_is_one_line(one_line: Callable[[list[str], int], str]) -> None:
    assert "unknown option --limit" in one_line(["archive", "--limit", "3"], 2)
