"""Repetition of requests."""

import pytest

from cluster.storage.retries import take_retries, with_retries


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def _failing(times: int) -> list[OSError]:
    return [OSError(str(number)) for number in range(times)]


def test_repeated_requests_are_counted() -> None:
    take_retries()
    faults = _failing(2)

    def request() -> str:
        if faults:
            raise faults.pop()
        return "answer"

    assert with_retries(request, 5, lambda error: True) == "answer"
    assert take_retries() == 2
    assert take_retries() == 0


@pytest.mark.parametrize(("attempts", "transient", "requests"), [(3, True, 3), (3, False, 1), (1, True, 1)])
def test_the_last_error_is_raised_after_all_attempts(attempts: int, transient: bool, requests: int) -> None:
    faults = _failing(5)

    def request() -> None:
        raise faults.pop(0)

    with pytest.raises(OSError, match=str(requests - 1)):
        with_retries(request, attempts, lambda error: transient)
    assert len(faults) == 5 - requests
