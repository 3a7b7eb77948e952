import sys
import time

import pytest

from jobs.command import console
from jobs.command.console import ProgressLine, log_pause, summary


def test_summary_aligns_names_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    summary("done", [("ok", 3), ("failed", 0)])
    assert capsys.readouterr().out == "\ndone\n  ok      3\n  failed  0\n"


def test_progress_ends_with_everything_done(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "jobs.progress"), ProgressLine("colorized", 5, lambda: (3, None)):
        pass
    assert caplog.messages[-1].startswith("colorized: 5/5, ")


def test_progress_is_a_live_line_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with caplog.at_level("INFO", "jobs.progress"), ProgressLine("colorized", 5, lambda: (3, None)):
        pass
    output = capsys.readouterr().out
    assert output.startswith("\r\x1b[Kcolorized: 5/5, ")
    assert output.endswith("\n")
    assert not caplog.messages


def test_before_the_first_count_the_line_says_what_is_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = drawn_lines(monkeypatch, [(0, None)])
    assert lines[0] == "colorized: 0/8, starting 2 actors, 0 s"


def test_rate_is_measured_from_the_beginning_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time before the first worker begins is start-up and does not count."""
    lines = drawn_lines(monkeypatch, [(4, time.time() - 2)])
    assert lines[0].startswith("colorized: 4/8, 2.0 images/s, 0 s, 2 s left")


def drawn_lines(monkeypatch: pytest.MonkeyPatch, counts: list[tuple[int, float | None]]) -> list[str]:
    """Return what a terminal shows of eight images, of which `counts` are done at one time after the other."""
    lines: list[str] = []
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(console, "_TERMINAL_SECONDS", 0.01)
    monkeypatch.setattr(console.live_line, "draw", lines.append)
    left = iter(counts)
    with ProgressLine("colorized", 8, lambda: next(left, counts[-1]), "starting 2 actors"):
        while not lines:
            time.sleep(0.01)
    return lines


def test_progress_of_a_failed_block_claims_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        with caplog.at_level("INFO", "jobs.progress"), ProgressLine("colorized", 5, lambda: (3, None)):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not caplog.messages


def test_the_log_of_a_long_run_does_not_drown_in_progress() -> None:
    assert [log_pause(elapsed) for elapsed in (0, 200, 600, 1e6)] == [10, 10, 30, 120]
    elapsed, lines = 0.0, 0
    while elapsed < 24 * 3600:
        elapsed, lines = elapsed + log_pause(elapsed), lines + 1
    assert lines < 1000
