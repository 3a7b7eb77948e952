"""S3 storage behind a network that fails."""

import os
import threading
import time
from collections import Counter

import pytest

from cluster.errors import ClusterError
from cluster.storage import s3
from cluster.storage.s3 import S3Storage, StorageOptions
from jobs.inputs.fetch import fetch_all
from tests.faults.proxy import KINDS, SLOW_DOWN, STALL, FaultProxy

CONTENT = os.urandom(100_000)


@pytest.fixture
def store(proxy: FaultProxy, bucket: str) -> S3Storage:
    """Holds 40 objects k00 to k39."""
    store = S3Storage(bucket, "", StorageOptions(endpoint=proxy.url))
    for number in range(40):
        store.write(f"k{number:02d}", CONTENT)
    return store


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses, as many tries as ever."""
    monkeypatch.setattr(s3, "_FIRST_PAUSE", 0.001)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != SLOW_DOWN])
def test_every_operation_survives_a_fault_that_passes(store: S3Storage, proxy: FaultProxy, kind: str) -> None:
    proxy.rate, proxy.kinds = 0.3, [kind]
    for number in range(5):
        store.write(f"new/{number}", CONTENT)
        assert store.read(f"new/{number}") == CONTENT
        assert store.exists(f"new/{number}")
        assert not store.exists(f"none/{number}")
        with pytest.raises(FileNotFoundError):
            store.read(f"none/{number}")
        store.delete(f"k{number:02d}")
    assert len(list(store.list())) == 40
    assert proxy.injected[kind] >= 5


@pytest.mark.usefixtures("impatient")
def test_reading_ends_with_an_error_when_the_fault_stays(store: S3Storage, proxy: FaultProxy) -> None:
    proxy.rate, proxy.kinds = 1, [kind for kind in KINDS if kind not in ("slow", SLOW_DOWN)]
    before = len(proxy.times)
    files = fetch_all(S3Storage(store.bucket, "", StorageOptions(endpoint=proxy.url, max_attempts=4)), ["k00", "k01"])
    assert [file.status for file in files] == ["read_error", "read_error"]
    assert all(file.error and len(file.error.splitlines()) == 1 for file in files)
    assert len(proxy.times) - before == 8
    with pytest.raises(ClusterError, match="cannot be listed"):
        list(store.list())


def test_what_does_not_pass_is_not_tried_again(store: S3Storage, proxy: FaultProxy) -> None:
    before = len(proxy.times)
    with pytest.raises(FileNotFoundError):
        store.read("nothing")
    with pytest.raises(OSError, match="NoSuchBucket"):
        S3Storage("no-such-bucket", "", store.options).write("a", b"1")
    assert len(proxy.times) - before == 2


@pytest.mark.usefixtures("impatient")
def test_a_body_that_stops_is_given_up_and_read_again(
    store: S3Storage, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_READ_SECONDS", 0.5)
    proxy.rate, proxy.kinds = 0.5, [STALL]
    fresh = S3Storage(store.bucket, "", StorageOptions(endpoint=proxy.url, max_attempts=20))
    assert all(fresh.read(f"k{number:02d}") == CONTENT for number in range(6))
    assert proxy.injected[STALL] >= 2


def test_an_outage_of_seconds_loses_nothing(store: S3Storage, proxy: FaultProxy) -> None:
    """More requests fail than boto3's own quota of retries allows; ours is by request."""
    proxy.rate, proxy.kinds = 1, ["error", "reset"]
    end = threading.Timer(2, setattr, (proxy, "rate", 0))
    end.start()
    files = fetch_all(store, [f"k{number:02d}" for number in range(40)])
    end.join()
    assert Counter(file.status for file in files) == {"": 40}
    assert sum(proxy.injected.values()) > 40


def test_slow_down_slows_the_fetchers_down(store: S3Storage, proxy: FaultProxy) -> None:
    """Told SlowDown for a second: nothing fails, and all threads together ask far less often."""
    keys = [f"k{number:02d}" for number in range(40)]
    start, before = time.monotonic(), len(proxy.times)
    fetch_all(store, keys)
    free = (len(proxy.times) - before) / (time.monotonic() - start)
    proxy.rate, proxy.kinds = 1, [SLOW_DOWN]
    end = threading.Timer(1, setattr, (proxy, "rate", 0))
    end.start()
    start, before = time.monotonic(), len(proxy.times)
    files = fetch_all(store, keys[:20])
    held = (len(proxy.times) - before) / (time.monotonic() - start)
    assert [file.status for file in files] == [""] * 20
    assert proxy.injected[SLOW_DOWN] >= 1
    assert held < free / 5


def test_pyarrow_passes_through_as_well(store: S3Storage, proxy: FaultProxy) -> None:
    """Chunked uploads that expect 100-continue; checkpoints and given manifests are read this way."""
    proxy.rate, proxy.kinds = 0.2, ["reset", "cut", "broken", "error"]
    for number in range(4):
        with store.filesystem.open_output_stream(store.path(f"arrow/{number}")) as stream:
            stream.write(CONTENT)
        with store.filesystem.open_input_stream(store.path(f"arrow/{number}")) as stream:
            assert stream.read() == CONTENT
    assert sum(proxy.injected.values()) >= 1


def test_the_same_seed_injects_the_same_faults(s3_endpoint: str) -> None:
    requests = [f"GET /{number % 7}" for number in range(500)]
    chosen = []
    for seed in (1, 1, 2):
        with FaultProxy(s3_endpoint, rate=0.05, seed=seed) as proxy:
            chosen.append([proxy.choose(request) for request in requests])
    assert chosen[0] == chosen[1] != chosen[2]
    assert 10 <= sum(fault is not None for fault in chosen[0]) <= 40
