import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

import colorize_core
from jobs.cli import VERBS, main

HEAVY = ("torch", "ray", "pyarrow", "PIL")  # each takes from 0.2 s to several seconds to import


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(verb in text for verb in VERBS)


def test_version_is_the_one_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"colorize {colorize_core.__version__}\n"


def test_no_verb_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2


def test_unknown_verb_is_one_line(one_line: Callable[[list[str], int], str]) -> None:
    assert "unknown verb 'color'; choose from prepare, train" in one_line(["color"], 2)
    assert "unknown verb 'archiv'; did you mean archive?" in one_line(["archiv"], 2)
    assert "benchmark 'trian': unknown; did you mean train?" in one_line(["benchmark", "trian"], 2)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_shows_usage(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert f"colorize {verb}" in capsys.readouterr().out


def test_help_of_a_job_shows_keys_with_default_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    main(["archive", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert re.search(r"max_failed_fraction [A-Z][^()]+ \(number; default 0\.05\)", text)


@pytest.mark.parametrize("arguments", [["--help"], ["archive", "--help"]])
def test_help_may_be_cut_by_its_reader(arguments: list[str]) -> None:
    """As by `colorize archive --help | head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", *arguments], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["--help"], ["archive", "--help"], ["train", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from jobs.cli import main; main(sys.argv[1:]); "
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.slow
def test_dry_run_prints_the_resolved_config_and_what_would_run(
    tmp_path: object, tiny_checkpoint: str, photo_folder: object, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"source={photo_folder}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}", "--dry-run"]
    assert main(["archive", *arguments, "actors.count=2"]) == 0
    text = capsys.readouterr().out
    keys = f"source: {photo_folder}\noutput: {tmp_path}/out\ncheckpoint: {tiny_checkpoint}\nactors:\n  count: 2\n"
    assert text.startswith(f"{keys}\n")
    assert re.search(r"archive would \w+ 32 of (the )?32 photographs", text)


def test_keys_can_be_given_as_options(one_line: Callable[[list[str], int], str]) -> None:
    for words in (["--limit", "0"], ["--limit=0"], ["limit=0"]):
        line = one_line(["archive", "source=a", "output=b", "checkpoint=c", *words], 2)
        assert "limit = 0: input should be greater than or equal to 1" in line


def test_an_option_without_a_value_is_switched_on(one_line: Callable[[list[str], int], str]) -> None:
    line = one_line(["archive", "--new-run", "--retry-failed", "source=a", "output=b", "checkpoint=c"], 2)
    assert "new_run" in line
    assert "retry_failed" in line


def test_unknown_options_are_one_line(one_line: Callable[[list[str], int], str]) -> None:
    assert "retry_filed = True: unknown key; did you mean retry_failed?" in one_line(["archive", "--retry-filed"], 2)
    assert "unknown option -x" in one_line(["archive", "-x"], 2)
