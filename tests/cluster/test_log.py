"""The log of a job: lines on stderr, the file, and the live line of a terminal."""

import logging
import re
import sys
from pathlib import Path

import pytest

from cluster.log import LogOptions, live_line, logging_to
from colorize_core.errors import UserError

LINE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "
ARCHIVE = logging.getLogger("jobs.archive.job")


def test_an_event_is_a_line_with_time_level_and_package(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(LogOptions(), verbose=False):
        ARCHIVE.info("%d of %d photographs", 3, 5)
        ARCHIVE.debug("not shown")
        logging.getLogger("colorize_core.training.steps").warning("loss is high")
    output = capsys.readouterr()
    assert output.out == ""
    first, second = output.err.splitlines()
    assert re.fullmatch(LINE + "INFO archive: 3 of 5 photographs", first)
    assert re.fullmatch(LINE + "WARNING training: loss is high", second)


@pytest.mark.parametrize(
    ("level", "verbose", "shown"),
    [
        ("info", False, ["info", "warning"]),
        ("info", True, ["debug", "info", "warning"]),
        ("warning", False, ["warning"]),
    ],
)
def test_levels(level: str, verbose: bool, shown: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(LogOptions.model_validate({"level": level}), verbose=verbose):
        for name in ("debug", "info", "warning"):
            getattr(ARCHIVE, name)(name)
    assert [line.rsplit(" ", 1)[1] for line in capsys.readouterr().err.splitlines()] == shown


def test_the_file_gets_everything_and_is_appended_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new" / "job.log"
    for message in ("first run", "second run"):
        with logging_to(LogOptions(level="error", file=str(file)), verbose=False):
            ARCHIVE.debug(message)
    assert re.fullmatch(LINE + "DEBUG archive: first run\n" + LINE + "DEBUG archive: second run\n", file.read_text())
    assert capsys.readouterr().err == ""


def test_a_job_within_a_job_logs_once(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(LogOptions(), verbose=False):
        with logging_to(LogOptions(), verbose=False):
            ARCHIVE.info("inner")
        ARCHIVE.info("outer")
    assert len(capsys.readouterr().err.splitlines()) == 2
    ARCHIVE.info("after")
    assert capsys.readouterr().err == ""


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"log.file = .* cannot be written"),
        logging_to(LogOptions(file=str(tmp_path)), verbose=False),
    ):
        pass


def test_log_lines_are_printed_above_the_live_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", sys.stdout)  # as on a terminal
    with logging_to(LogOptions(), verbose=False):
        live_line.draw("3/5")
        ARCHIVE.info("event")
        live_line.end()
    clear = r"\r\x1b\[K"
    assert re.fullmatch(f"{clear}3/5{clear}{LINE}INFO archive: event\n3/5\n", capsys.readouterr().out)
