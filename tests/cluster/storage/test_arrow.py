"""S3 as a file system of pyarrow."""

import os
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from cluster.storage.s3 import S3Storage, StorageOptions
from tests.faults.proxy import FaultProxy


@pytest.fixture
def storage(s3_endpoint: str, bucket: str) -> S3Storage:
    return S3Storage(bucket, "some/prefix", StorageOptions(endpoint=s3_endpoint))


def test_an_object_is_read_at_any_place(storage: S3Storage) -> None:
    content = os.urandom(100_000)
    storage.write("a", content)
    with storage.filesystem.open_input_file(storage.path("a")) as file:
        assert file.size() == 100_000
        assert file.read_at(10, 50_000) == content[50_000:50_010]
        file.seek(99_990)
        assert file.read() == content[99_990:]
        assert file.read(5) == b""


@pytest.mark.parametrize("size", [0, 1, 9 << 20])
def test_what_a_stream_writes_a_stream_reads(storage: S3Storage, size: int) -> None:
    content = os.urandom(size)
    with storage.filesystem.open_output_stream(storage.path("a")) as stream:
        for start in range(0, size, 1 << 20):
            stream.write(content[start : start + (1 << 20)])
        assert not storage.exists("a")
    with storage.filesystem.open_input_stream(storage.path("a")) as stream:
        assert stream.read() == content


def test_tables_round_trip(storage: S3Storage) -> None:
    table = pa.table({"number": range(10_000), "text": [str(number) for number in range(10_000)]})
    pq.write_table(table, storage.path("t.parquet"), filesystem=storage.filesystem, row_group_size=1000)
    assert pq.read_table(storage.path("t.parquet"), filesystem=storage.filesystem).equals(table)


def test_file_information_is_that_of_pyarrows_own_client(storage: S3Storage, s3_endpoint: str) -> None:
    for key in ("a", "d/b", "d/e/c", "empty"):
        storage.write(key, b"" if key == "empty" else key.encode())
    theirs = fs.S3FileSystem(endpoint_override=s3_endpoint, scheme="http", region="us-east-1")
    paths = [storage.path(key) for key in ("a", "d", "d/b", "empty", "nothing", "")]

    def described(found: list[fs.FileInfo]) -> set[tuple[str, fs.FileType, int | None]]:
        return {(info.path, info.type, info.size) for info in found}

    assert described(storage.filesystem.get_file_info(paths)) == described(theirs.get_file_info(paths))
    for recursive in (False, True):
        selector = fs.FileSelector(storage.path(), recursive=recursive)
        assert described(storage.filesystem.get_file_info(selector)) == described(theirs.get_file_info(selector))
    absent = fs.FileSelector(storage.path("nothing"))
    with pytest.raises(FileNotFoundError):
        storage.filesystem.get_file_info(absent)
    assert storage.filesystem.get_file_info(fs.FileSelector(storage.path("nothing"), allow_not_found=True)) == []


def test_a_folder_is_uploaded_and_deleted(storage: S3Storage, tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / name).write_bytes(name.encode())
    storage.write("other", b"")
    fs.copy_files(str(tmp_path), storage.path("copy"), destination_filesystem=storage.filesystem)
    copy = storage.child("copy")
    assert {entry.key: copy.read(entry.key) for entry in copy.list()} == {"x": b"x", "y": b"y"}
    storage.filesystem.delete_dir(storage.path("copy"))
    assert [entry.key for entry in storage.list()] == ["other"]


def test_a_missing_object_is_not_found(storage: S3Storage) -> None:
    for opened in (storage.filesystem.open_input_file, storage.filesystem.open_input_stream):
        with pytest.raises(FileNotFoundError):
            opened(storage.path("nothing"))


def test_it_can_be_pickled_and_compared(storage: S3Storage) -> None:
    storage.write("a", b"1")
    copy = pickle.loads(pickle.dumps(storage.filesystem))
    assert copy == storage.filesystem
    assert copy.open_input_file(storage.path("a")).read() == b"1"
    assert copy != S3Storage("b", "", StorageOptions(endpoint="http://other")).filesystem


def test_every_request_carries_encryption_and_payer(s3_endpoint: str, bucket: str) -> None:
    options = StorageOptions(requester_pays=True, encryption="aws:kms", kms_key="alias/archive")
    with FaultProxy(s3_endpoint) as proxy:
        proxy.require_encryption_and_payer()
        storage = S3Storage(bucket, "x", options.model_copy(update={"endpoint": proxy.url}))
        with storage.filesystem.open_output_stream(storage.path("a")) as stream:
            stream.write(b"content")
        assert storage.filesystem.open_input_file(storage.path("a")).read() == b"content"
        assert [info.path for info in storage.filesystem.get_file_info(fs.FileSelector(storage.path()))] == [
            storage.path("a")
        ]
        storage.filesystem.delete_file(storage.path("a"))
        assert not proxy.refused
        with pytest.raises(OSError, match="cannot be written"):
            S3Storage(bucket, "x", StorageOptions(endpoint=proxy.url, requester_pays=True)).write("b", b"1")
        assert proxy.refused == {"PUT": 1}
