"""Jobs as processes of their own, and finding and killing what they started."""

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
    """`python -m jobs.VERB` with these arguments; its output can be read."""
    return subprocess.Popen(
        [sys.executable, "-m", f"jobs.{verb}", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
    )


def finish(job: subprocess.Popen[str], seconds: float = 300) -> str:
    """Wait for a job that must end well; what it said."""
    said, _ = job.communicate(timeout=seconds)
    assert job.returncode == 0, said
    return said


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.1)


def descendants(pid: int) -> set[int]:
    """Every process below one."""
    parents = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):  # no process, or one that ended while we looked
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found: set[int] = set()
    edge = {pid}
    while edge:
        edge = {child for child, parent in parents.items() if parent in edge}
        found |= edge
    return found


def actors_among(pids: Iterable[int]) -> list[int]:
    """Those of the processes that live and hold the model, by age."""
    return sorted(pid for pid in pids if "ColorizeActor" in command_line(pid))


def train_workers_among(pids: Iterable[int]) -> list[int]:
    """Those of the processes that live and train, by age."""
    return sorted(pid for pid in pids if "RayTrainWorker" in command_line(pid))


def command_line(pid: int) -> str:
    """Empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def resident_bytes(pid: int) -> int:
    """Private memory of a process: what shared memory it has mapped, such as Ray's object store, is not its own."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) * 1024
