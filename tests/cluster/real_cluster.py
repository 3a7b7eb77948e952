"""A Ray cluster of two nodes as users start one: `ray start`, with a token, on ports of its own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests

from tests.faults.processes import descendants

TOKEN = "0123456789abcdef" * 4
NODE_CPUS = 2
_START_SECONDS = 180


class RealCluster:
    """A head and a second node, each a `ray start --block`; ends with everything they started."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ray-"))  # a short path: sockets lie below it
        self._gcs, self.dashboard, self._client, *self._agents = (free_port() for _ in range(5))
        self.url = f"http://127.0.0.1:{self.dashboard}"
        (self.folder / "token").write_text(TOKEN)
        python = Path(sys.executable).parent
        # Neither credentials nor a place to write beside this folder: what a job needs, it must be given.
        self.environment = {
            "PATH": f"{python}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.folder / "token"),
            "RAY_USAGE_STATS_ENABLED": "0",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self._nodes: list[subprocess.Popen[bytes]] = []
        self._log = (self.folder / "start.log").open("wb")

    def start(self) -> None:
        head = ["--head", f"--port={self._gcs}", f"--dashboard-port={self.dashboard}"]
        self._start_node([*head, f"--ray-client-server-port={self._client}"], self._agents[0])
        self._wait_for_nodes(1)
        self._start_node([f"--address=127.0.0.1:{self._gcs}"], self._agents[1])
        self._wait_for_nodes(2)

    def _start_node(self, options: list[str], agent_port: int) -> None:
        # Each has a folder of its own: in a shared one the second would delete, and write again, the working
        # directory of a job that runs on the first.
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *options, f"--num-cpus={NODE_CPUS}"]
        command += [f"--dashboard-agent-listen-port={agent_port}", "--object-store-memory=150000000"]
        command += [f"--temp-dir={self.folder / str(len(self._nodes))}"]
        self._nodes.append(
            subprocess.Popen(command, env=self.environment, stdout=self._log, stderr=self._log, cwd=self.folder)
        )

    def _wait_for_nodes(self, number: int) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while self._living_nodes() < number:
            assert time.monotonic() < deadline, (self.folder / "start.log").read_text()
            assert all(node.poll() is None for node in self._nodes), (self.folder / "start.log").read_text()
            time.sleep(0.5)

    def _living_nodes(self) -> int:
        try:
            return len([node for node in self.get("/nodes?view=summary")["data"]["summary"] if node.get("raylet")])
        except (OSError, KeyError, ValueError):
            return 0

    def get(self, path: str) -> Any:
        """An answer of the dashboard's API."""
        answer = requests.get(f"{self.url}{path}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def actor_nodes(self, name: str) -> set[str]:
        """Ids of the nodes on which actors ran whose class is called like this."""
        actors = self.get("/api/v0/actors?limit=1000&detail=1")["data"]["result"]["result"]
        return {actor["node_id"] for actor in actors if name in actor["class_name"]}

    def uploads(self) -> list[Path]:
        """Where each node has unpacked the newest upload, the head first."""
        folders = [self.folder / str(number) / "session_latest" / "runtime_resources" for number in range(2)]
        unpacked = [list((folder / "working_dir_files").glob("_ray_pkg_*/")) for folder in folders]
        return [max(each, key=lambda path: path.stat().st_mtime).resolve() for each in unpacked]

    def stop(self) -> None:
        """End the nodes and all that runs below them, and nothing else."""
        started = {node.pid for node in self._nodes}.union(*(descendants(node.pid) for node in self._nodes))
        for node in self._nodes:
            node.terminate()
        time.sleep(1)
        for pid in started:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for node in self._nodes:
            node.wait()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def free_port() -> int:
    """A port nobody listens on, below those that Ray and the system give to whoever asks."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
