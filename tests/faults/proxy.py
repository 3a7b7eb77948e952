"""HTTP proxy that injects faults of networks and busy servers into a given fraction of the requests."""

import http.client
import math
import os
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from types import TracebackType
from urllib.parse import urlsplit

SLOW_DOWN, ERROR, RESET, LOST, CUT, BROKEN, SLOW, STALL = (
    "slow_down",  # 503 SlowDown, as sent by S3
    "error",  # 500 InternalError
    "reset",  # the connection is reset before the request is forwarded
    "lost",  # the request is executed, and the connection is reset before the response
    "cut",  # the body ends early without an error; Content-Length is larger
    "broken",  # the connection is reset in the middle of the body
    "slow",  # the body is sent in pieces with pauses
    "stall",  # the body stops in the middle, and the connection stays open
)
KINDS = (SLOW_DOWN, ERROR, RESET, LOST, CUT, BROKEN, SLOW)
"""All faults that end by themselves."""

_REFUSALS = {SLOW_DOWN: (503, "SlowDown", "Please reduce your request rate."), ERROR: (500, "InternalError", "Again.")}
_OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "expect", "content-length"}
_PIECES, _PAUSE_SECONDS = 5, 0.05


class FaultProxy(ThreadingHTTPServer):
    """Proxy of an HTTP server that injects faults into a fraction `rate` of the requests.

    The fault of a request depends on the seed, the request and its number of repetitions, not on the order of the
    threads: the same work meets the same faults.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, target: str, *, rate: float = 0.0, kinds: Sequence[str] = KINDS, seed: int = 0) -> None:
        """Listen on a free port.

        Args:
            target: URL of the server.
            rate: fraction of the requests with a fault, 0 to 1; may be changed at any time.
            kinds: possible faults.
            seed: seed of the random choice.
        """
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target).netloc
        self.rate, self.kinds, self.seed = rate, list(kinds), seed
        self.times: list[float] = []
        """Time of each request, as of time.monotonic()."""
        self.limit = math.inf
        """Number of faults after which no more are injected."""
        self.required: dict[str, dict[str, str]] = {}
        """Headers that requests of a method must have; requests without them are refused with AccessDenied."""
        self.refused: Counter[str] = Counter()
        """Number of requests that were refused for their headers, by method."""
        self.injected: Counter[str] = Counter()
        """Number of injected faults by kind."""
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> "FaultProxy":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()

    def require_encryption_and_payer(self) -> None:
        """Refuse requests without requester-pays, and uploads without the KMS key alias/archive."""
        payer = {"x-amz-request-payer": "requester"}
        key = {"x-amz-server-side-encryption-aws-kms-key-id": "alias/archive"}
        self.required = dict.fromkeys(("GET", "HEAD", "DELETE", "POST"), payer)
        self.required["PUT"] = payer | {"x-amz-server-side-encryption": "aws:kms"} | key

    def choose(self, request: str) -> str | None:
        """Return the fault of a request, or None for no fault."""
        with self._lock:
            self.times.append(time.monotonic())
            self._seen[request] += 1
            draw = Random(f"{self.seed} {request} {self._seen[request]}")
            if draw.random() >= self.rate or self.injected.total() >= self.limit:
                return None
            fault = draw.choice(self.kinds)
            self.injected[fault] += 1
            return fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections, and answers `Expect: 100-continue` by itself
    disable_nagle_algorithm = True
    server: FaultProxy

    def _pass_on(self) -> None:
        body = self._body()
        required = self.server.required.get(self.command, {})
        if any(self.headers.get(name) != value for name, value in required.items()):
            self.server.refused[self.command] += 1
            return self._refuse(403, "AccessDenied", "A required header is missing.")
        fault = self.server.choose(f"{self.command} {self.path}")
        if fault in _REFUSALS:
            return self._refuse(*_REFUSALS[fault])
        if fault == RESET:
            return self._reset()
        status, reason, headers, answer = self._ask(body)
        if fault == LOST or (fault in (CUT, BROKEN, STALL) and not answer):
            return self._reset()
        self.send_response_only(status, reason)
        for name, value in headers:
            if name.lower() not in _OF_ONE_CONNECTION:
                self.send_header(name, value)
        length = next((value for name, value in headers if name.lower() == "content-length"), None)
        if status not in (204, 304):
            self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(answer)))
        self.end_headers()
        self._send(answer, fault)
        return None

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815

    def _body(self) -> bytes:
        """Return the body of the request, also of a chunked one (as in pyarrow's uploads)."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return b"".join(pieces)

    def _ask(self, body: bytes) -> tuple[int, str, list[tuple[str, str]], bytes]:
        """Forward the request; return status, reason, headers and body of the response."""
        connection = http.client.HTTPConnection(self.server.target, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _OF_ONE_CONNECTION:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.reason, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _refuse(self, status: int, code: str, message: str) -> None:
        document = b"" if self.command == "HEAD" else f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        data = document if isinstance(document, bytes) else document.encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _send(self, data: bytes, fault: str | None) -> None:
        if fault in (CUT, BROKEN, STALL):
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            if fault == STALL:
                self.connection.recv(1)  # until the client disconnects
            if fault == BROKEN:
                time.sleep(_PAUSE_SECONDS)  # the part that was sent must arrive
                self._reset()
            self.close_connection = True
            return
        step = max(len(data) // _PIECES, 1) if fault == SLOW else max(len(data), 1)
        for start in range(0, len(data), step):
            self.wfile.write(data[start : start + step])
            if fault == SLOW:
                time.sleep(_PAUSE_SECONDS)

    def _reset(self) -> None:
        """Close with RST instead of FIN: nothing lingers, and the descriptor goes at once, whoever else holds it."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""
