"""One run at a time on an output, with real processes and files."""

import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.storage.stores import LocalStorage
from colorize_core.errors import UserError
from jobs.run import lock
from jobs.run.lock import OutputLock

HOLDER = """
import sys, time
from cluster.storage.stores import LocalStorage
from jobs.run.lock import OutputLock
with OutputLock(LocalStorage(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the heartbeat."""
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(lock, "TIMEOUT_SECONDS", 2.0)


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    """Process that holds the lock of `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process  # type: ignore[misc]
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_lock_is_released(tmp_path: Path) -> None:
    for _ in range(2):
        with OutputLock(LocalStorage(str(tmp_path))):
            assert (tmp_path / "_state/lock.json").exists()
    assert not (tmp_path / "_state/lock.json").exists()


@pytest.mark.slow
def test_the_lock_of_an_active_run_is_respected(
    tmp_path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "TIMEOUT_SECONDS", 12.0)
    with (
        pytest.raises(UserError, match=f"another run .* \\(process {holder.pid}"),
        OutputLock(LocalStorage(str(tmp_path))),
    ):
        pytest.fail("two runs on one output")


def test_the_lock_of_a_killed_run_of_this_machine_is_replaced_at_once(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    start = time.monotonic()
    with OutputLock(LocalStorage(str(tmp_path))):
        assert time.monotonic() - start < 1.5


@pytest.mark.slow
def test_the_lock_of_an_inactive_run_of_another_machine_is_replaced_after_a_while(tmp_path: Path) -> None:
    store = LocalStorage(str(tmp_path))
    store.write("_state/lock.json", json.dumps({"run": "x", "host": "elsewhere", "pid": 1, "beats": 7}).encode())
    start = time.monotonic()
    with OutputLock(store):
        assert time.monotonic() - start >= 1.9


def test_the_lock_of_an_active_run_of_another_machine_is_respected(tmp_path: Path) -> None:
    store = LocalStorage(str(tmp_path))
    ended = threading.Event()

    def beat() -> None:
        beats = 0
        while not ended.wait(0.1):
            beats += 1
            other = {"run": "x", "host": "elsewhere", "pid": os.getpid(), "beats": beats}
            store.write("_state/lock.json", json.dumps(other).encode())

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        time.sleep(0.3)
        with pytest.raises(UserError, match="on elsewhere"), OutputLock(store):
            pytest.fail("two runs on one output")
    finally:
        ended.set()
        thread.join()


def test_a_run_that_lost_its_lock_stops(tmp_path: Path) -> None:
    store = LocalStorage(str(tmp_path))
    other = {"run": "x", "host": platform.node(), "pid": os.getpid(), "beats": 1}
    with OutputLock(store) as mine:
        mine.check()
        store.write("_state/lock.json", json.dumps(other).encode())
        time.sleep(1)
        with pytest.raises(ClusterError, match="another run has taken over"):
            mine.check()
    assert json.loads(store.read("_state/lock.json")) == other
