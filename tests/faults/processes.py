"""Jobs as subprocesses; search and termination of the processes they start."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(command: list[str], verb: str = "archive", **environment: str) -> subprocess.Popen[str]:
    """Start `python -m jobs.VERB` with arguments; stdout and stderr are combined in a pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", f"jobs.{verb}", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
    )


def finish(job: subprocess.Popen[str], seconds: float = 300) -> str:
    """Wait until a job ends, require exit code 0, and return its output."""
    printed, _ = job.communicate(timeout=seconds)
    assert job.returncode == 0, printed
    return printed


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.1)


def descendants(pid: int) -> set[int]:
    """Return the ids of all descendants of a process."""
    parents = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):  # not a process, or one that has just ended
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found: set[int] = set()
    edge = {pid}
    while edge:
        edge = {child for child, parent in parents.items() if parent in edge}
        found |= edge
    return found


def actors_among(pids: Iterable[int]) -> list[int]:
    """Return the running processes that hold a model, sorted by id."""
    return sorted(pid for pid in pids if "ColorizeActor" in command_line(pid))


def train_workers_among(pids: Iterable[int]) -> list[int]:
    """Return the running processes of training workers, sorted by id."""
    return sorted(pid for pid in pids if "RayTrainWorker" in command_line(pid))


def command_line(pid: int) -> str:
    """Return the command line of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def resident_bytes(pid: int) -> int:
    """Return the private memory of a process, without shared memory such as Ray's object store."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) * 1024
