import pytest

from jobs.command.console import ProgressLine, duration, log_pause, summary


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (8, "8 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (12000, "3 h 20 min")],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_summary_aligns_names_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    summary("done", [("ok", 3), ("failed", 0)])
    assert capsys.readouterr().out == "\ndone\n  ok      3\n  failed  0\n"


def test_progress_ends_with_everything_done(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine("colorized", 5, lambda: 3):
        pass
    assert capsys.readouterr().out.startswith("colorized: 5/5, ")


def test_progress_of_a_failed_block_claims_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with ProgressLine("colorized", 5, lambda: 3):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert capsys.readouterr().out == ""


def test_the_log_of_a_long_run_does_not_drown_in_progress() -> None:
    assert [log_pause(elapsed) for elapsed in (0, 200, 600, 1e6)] == [10, 10, 30, 120]
    elapsed, lines = 0.0, 0
    while elapsed < 24 * 3600:
        elapsed, lines = elapsed + log_pause(elapsed), lines + 1
    assert lines < 1000
