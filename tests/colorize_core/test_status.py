import json

from colorize_core.status import FAILURES, Status


def test_a_status_is_its_value() -> None:
    assert Status("ok") is Status.OK
    assert json.dumps([Status.TOO_LARGE]) == '["too_large"]'
    assert f"{Status.EMPTY}" == "empty"


def test_every_failure_has_a_meaning_and_advice() -> None:
    assert all(status.meaning and status.advice for status in FAILURES)
    assert set(Status) - set(FAILURES) == {Status.OK, Status.SKIPPED_COLOR, Status.SKIPPED}
