"""Following a job through a network that fails; the job server is played by a few lines."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from cluster.errors import ClusterError
from cluster.submit import follow
from cluster.submit.client import JobStatus
from cluster.submit.follow import Follower

LOG = "".join(f"line {number}\n" for number in range(20))


class Details:
    def __init__(self, status: JobStatus, code: int | None = None, message: str = "") -> None:
        self.status, self.driver_exit_code, self.message = status, code, message


RUNNING, DONE = Details(JobStatus.RUNNING), Details(JobStatus.FAILED, 3)


class Server:
    """Streams the log from its beginning, breaking off after so many characters each time; then answers in turn."""

    def __init__(self, streams: list[int], answers: list[Details | None]) -> None:
        self.streams, self.answers = list(streams), list(answers)
        self.stopped = False

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        until = self.streams.pop(0) if self.streams else 0
        for start in range(0, until, 7):
            yield LOG[start : min(start + 7, until)]
        raise RuntimeError("WebSocket connection closed unexpectedly with close code 1006")

    def details(self, job: str) -> Details | None:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def get_job_logs(self, job: str) -> str:
        return LOG

    def get_address(self) -> str:
        return "http://head:8265"

    def stop(self, job: str) -> bool:
        self.stopped = True
        self.answers = [Details(JobStatus.STOPPED)]
        return True


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(follow, "_STATUS_SECONDS", 0.05)


def follow_to_end(server: Any, **options: float) -> Details:
    return Follower(server, "job").to_end(**options)  # type: ignore[return-value]


def test_each_line_is_printed_once_if_the_connection_breaks(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "cluster")
    server = Server([30, 10, 64, 0, 80], [RUNNING, None, None, RUNNING, RUNNING, DONE])
    assert follow_to_end(server).driver_exit_code == 3
    assert capsys.readouterr().out == LOG
    assert caplog.messages == ["http://head:8265 does not answer; trying again", "connected again"]


@pytest.mark.parametrize(
    ("log", "complaint"),
    [
        ("colorize: 5 of 151 failed\n", "5 of 151 failed"),
        ("colorize: first\nTraceback\ncolorize: the reason\nsummary\n", "the reason"),
        ("a line about colorize: nothing\n", ""),
    ],
)
def test_the_reason_of_a_failure_is_the_last_line_of_the_command(log: str, complaint: str) -> None:
    server = Server([], [DONE])
    server.get_job_logs = lambda job: log  # type: ignore[method-assign]
    follower = Follower(server, "job")  # type: ignore[arg-type]
    follower.to_end()
    assert follower.complaint == complaint


def test_a_stream_that_falls_silent_does_not_hide_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    class Silent(Server):
        async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
            import asyncio

            yield LOG[:9]
            await asyncio.sleep(3600)

    assert follow_to_end(Silent([], [RUNNING, RUNNING, DONE])) is DONE
    assert capsys.readouterr().out == LOG


def test_a_cluster_that_does_not_come_back_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_MAX_OUTAGE_SECONDS", 0.2)
    with pytest.raises(ClusterError, match="http://head:8265 has not answered for"):
        follow_to_end(Server([14], [RUNNING, None]))


def test_the_reason_why_a_job_is_pending_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "cluster")
    pending = Details(JobStatus.PENDING, message="Job has not started yet.\nIt may be waiting for resources.")
    follow_to_end(Server([], [pending, pending, DONE]))
    assert caplog.messages == ["the job has not started yet: Job has not started yet. It may be waiting for resources."]


def test_a_job_that_takes_too_long_is_stopped(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "cluster")
    server = Server([140], [RUNNING])
    assert follow_to_end(server, stop_after=0.1).status == JobStatus.STOPPED
    assert server.stopped
    assert caplog.messages == ["stopping the job, which took longer than stop_after"]
