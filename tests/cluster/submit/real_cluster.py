"""A Ray cluster of two nodes as users start one, with `ray start` and a token, on ports of its own."""

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

TOKEN = "0123456789abcdef" * 4
NODE_CPUS = 2
_START_SECONDS = 180


class RealCluster:
    """A head and a second node; `stop` ends everything that they started."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ray-"))  # a short path, because it is a prefix of socket paths
        self._gcs, self.dashboard, self._client, *self._agents = (free_port() for _ in range(5))
        self.url = f"http://127.0.0.1:{self.dashboard}"
        (self.folder / "token").write_text(TOKEN)
        python = Path(sys.executable).parent
        # No credentials, and no writable folder but this one: a job must be given what it needs.
        self.environment = {
            "PATH": f"{python}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.folder / "token"),
            "RAY_USAGE_STATS_ENABLED": "0",
            "NUMBA_DISABLE_JIT": "1",  # every process would compile for four seconds; use small photographs
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self) -> None:
        head = ["--head", f"--port={self._gcs}", f"--dashboard-port={self.dashboard}"]
        self._start_node([*head, f"--ray-client-server-port={self._client}"], 0)
        self._start_node([f"--address=127.0.0.1:{self._gcs}"], 1)
        deadline = time.monotonic() + _START_SECONDS
        while self._living_nodes() < len(self._agents):
            assert time.monotonic() < deadline, "the second node has not joined"
            time.sleep(0.5)

    def _start_node(self, options: list[str], number: int) -> None:
        # Each node has its own folder: in a shared one the second node would delete and rewrite the working directory
        # of a job that runs on the first. Without --block, which ends a node when any of its processes ends, as Ray
        # Client's server does on a slow machine.
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *options, f"--num-cpus={NODE_CPUS}"]
        command += [f"--dashboard-agent-listen-port={self._agents[number]}", "--object-store-memory=150000000"]
        command += [f"--temp-dir={self.folder / str(number)}"]
        with (self.folder / f"start-{number}.log").open("w+") as log:
            done = subprocess.run(
                command, env=self.environment, stdout=log, stderr=log, cwd=self.folder, timeout=_START_SECONDS
            )
            log.seek(0)
            assert done.returncode == 0, log.read()[-2000:]

    def _living_nodes(self) -> int:
        try:
            return len([node for node in self.get("/nodes?view=summary")["data"]["summary"] if node.get("raylet")])
        except (OSError, KeyError, ValueError):
            return 0

    def get(self, path: str) -> Any:
        """Return an answer of the dashboard's API."""
        answer = requests.get(f"{self.url}{path}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def actor_nodes(self, name: str) -> set[str]:
        """Return the ids of the nodes on which actors with this class name ran."""
        actors = self.get("/api/v0/actors?limit=1000&detail=1")["data"]["result"]["result"]
        return {actor["node_id"] for actor in actors if name in actor["class_name"]}

    def stop(self) -> None:
        """End all processes with this cluster's environment, and no others."""
        deadline = time.monotonic() + 30
        while (left := self._processes()) and time.monotonic() < deadline:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not left

    def _processes(self) -> list[int]:
        mark = f"\0RAY_AUTH_TOKEN_PATH={self.folder / 'token'}\0".encode()
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):  # not a process, a process of another user, or one that has just ended
                if entry.name.isdigit() and mark in b"\0" + (entry / "environ").read_bytes() + b"\0":
                    found.append(int(entry.name))
        return found


def free_port() -> int:
    """Return a port without a listener."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
