"""The interruption notice of a spot instance reaches a real cluster."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ray.cluster_utils import Cluster

from tests.faults.processes import ROOT, wait_for

pytestmark = pytest.mark.long


class Notice(BaseHTTPRequestHandler):
    """A metadata service that announces the end of the instance in 90 seconds."""

    def do_PUT(self) -> None:
        self._answer("token")

    def do_GET(self) -> None:
        end = datetime.now(UTC) + timedelta(seconds=90)
        self._answer(json.dumps({"action": "terminate", "time": end.strftime("%Y-%m-%dT%H:%M:%SZ")}))

    def log_message(self, *arguments: object) -> None:
        pass

    def _answer(self, body: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def metadata() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Notice) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


def test_the_node_of_the_machine_is_drained(cluster: Cluster, metadata: str) -> None:
    """An idle node that is drained leaves the cluster long before the instance ends."""
    assert [node["Alive"] for node in cluster.global_state.node_table()] == [True]
    watch = [sys.executable, "-m", "cluster.spot", "--address", cluster.address, "--metadata", metadata]
    said = subprocess.run(watch, cwd=ROOT, capture_output=True, text=True, timeout=90)
    assert said.returncode == 0, said.stderr
    wait_for(lambda: not cluster.global_state.node_table()[0]["Alive"], "the node is gone", 60)
