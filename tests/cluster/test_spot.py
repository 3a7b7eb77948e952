"""The notice of a spot machine, from a server that answers as AWS's metadata service does."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cluster import spot

TOKEN = "a-session-token"


class Metadata(BaseHTTPRequestHandler):
    """IMDSv2: a token for a PUT, and nothing without it."""

    notice: str | None = None
    """Body of the notice; 404 while there is none."""

    def do_PUT(self) -> None:
        self._answer(200 if self.path == "/latest/api/token" else 404, TOKEN)

    def do_GET(self) -> None:
        if self.headers["X-aws-ec2-metadata-token"] != TOKEN:
            self._answer(401, "")
        elif self.path == "/latest/meta-data/spot/instance-action" and self.notice:
            self._answer(200, self.notice)
        else:
            self._answer(404, "")

    def log_message(self, *arguments: object) -> None:
        pass

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of a metadata service that plans nothing yet."""
    monkeypatch.setattr(Metadata, "notice", None)
    monkeypatch.setattr(spot, "_POLL_SECONDS", 0.05)
    with ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def announce(moment: datetime) -> None:
    Metadata.notice = json.dumps({"action": "terminate", "time": moment.strftime("%Y-%m-%dT%H:%M:%SZ")})


def test_a_machine_that_stays(metadata: str) -> None:
    assert spot.interruption_time(metadata) is None


def test_a_machine_that_goes(metadata: str) -> None:
    announce(datetime(2026, 11, 21, 8, 22, tzinfo=UTC))
    assert spot.interruption_time(metadata) == datetime(2026, 11, 21, 8, 22, tzinfo=UTC)


def test_a_machine_that_is_not_of_aws(free_port: int) -> None:
    with pytest.raises(OSError, match="refused"):
        spot.interruption_time(f"http://127.0.0.1:{free_port}")


def test_the_watch_passes_the_notice_on_and_ends(metadata: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int]] = []
    asked = spot.interruption_time

    def soon(url: str) -> datetime | None:
        answer = asked(url)
        announce(datetime.now(UTC) + timedelta(seconds=110))
        return answer

    monkeypatch.setattr(spot, "interruption_time", soon)
    monkeypatch.setattr(spot, "drain", lambda address, seconds: told.append((address, seconds)))
    assert spot.main(["--address", "10.0.0.1:6379", "--metadata", metadata]) == 0
    ((address, seconds),) = told
    assert address == "10.0.0.1:6379"
    assert 60 < seconds <= 110


def test_a_fault_of_the_metadata_service_does_not_end_the_watch(
    metadata: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter([OSError("timed out"), datetime.now(UTC)])

    def answer(url: str) -> datetime:
        if isinstance(said := next(answers), OSError):
            raise said
        return said

    monkeypatch.setattr(spot, "interruption_time", answer)
    monkeypatch.setattr(spot, "drain", lambda address, seconds: None)
    assert spot.main(["--address", "10.0.0.1:6379", "--metadata", metadata]) == 0
    assert "does not answer (timed out)" in capsys.readouterr().err
