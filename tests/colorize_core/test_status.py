import json

from colorize_core.status import FAILURES, Status


def test_a_status_is_its_word() -> None:
    assert Status("ok") is Status.OK
    assert json.dumps([Status.TOO_LARGE]) == '["too_large"]'
    assert f"{Status.EMPTY}" == "empty"


def test_every_failure_says_what_it_means_and_what_to_do() -> None:
    assert all(status.meaning and status.advice for status in FAILURES)
    assert set(Status) - set(FAILURES) == {Status.OK, Status.SKIPPED_COLOR}
