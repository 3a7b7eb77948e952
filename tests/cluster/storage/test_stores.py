import importlib.util
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import boto3
import pytest

from cluster.errors import ClusterError
from cluster.storage import s3
from cluster.storage.advice import StorageError, with_advice
from cluster.storage.stores import Entry, LocalStorage, S3Storage, Storage, StorageOptions, open_storage
from colorize_core.errors import UserError


@pytest.fixture(params=["local", "s3", "gs", "az"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty store of each kind."""
    if request.param == "local":
        return open_storage(str(tmp_path / "store"), StorageOptions())
    if request.param == "s3":
        endpoint, bucket = request.getfixturevalue("s3_endpoint"), request.getfixturevalue("bucket")
        return open_storage(f"s3://{bucket}/some/prefix/", StorageOptions(endpoint=endpoint, region="us-east-1"))
    bucket = request.getfixturevalue({"gs": "google_bucket", "az": "azure_container"}[request.param])
    return open_storage(f"{request.param}://{bucket}/some/prefix/", StorageOptions())


def test_what_is_written_is_read(store: Storage) -> None:
    store.write("a/b.bin", b"\0\1\2", "application/octet-stream")
    assert store.read("a/b.bin") == b"\0\1\2"


def test_writing_again_replaces(store: Storage) -> None:
    store.write("a", b"first, longer")
    store.write("a", b"second")
    assert store.read("a") == b"second"


def test_listing_is_recursive_sorted_and_has_sizes(store: Storage) -> None:
    for key in ("b/2 with space.jpg", "a.jpg", "b/ü.jpg", "b/1.jpg"):
        store.write(key, key.encode())
    found = list(store.list())
    assert [entry.key for entry in found] == ["a.jpg", "b/1.jpg", "b/2 with space.jpg", "b/ü.jpg"]
    assert found[0] == Entry("a.jpg", 5)


def test_an_empty_store_lists_nothing(store: Storage) -> None:
    assert list(store.list()) == []


def test_a_child_is_the_store_below_a_prefix(store: Storage) -> None:
    store.child("x/y").write("z", b"1")
    assert [entry.key for entry in store.list()] == ["x/y/z"]
    assert [entry.key for entry in store.child("x").list()] == ["y/z"]


def test_a_prefix_ends_at_a_slash(store: Storage) -> None:
    store.write("photos/1", b"")
    store.write("photos-old/1", b"")
    assert [entry.key for entry in store.child("photos").list()] == ["1"]


def test_missing_files_are_not_found(store: Storage) -> None:
    assert not store.exists("nothing")
    with pytest.raises(FileNotFoundError):
        store.read("nothing")


def test_exists_after_writing(store: Storage) -> None:
    store.write("a/b", b"")
    assert store.exists("a/b")
    assert not store.exists("a")


def test_pyarrow_sees_the_same_files(store: Storage) -> None:
    store.write("a/b", b"content")
    with store.filesystem.open_input_stream(store.path("a/b")) as stream:
        assert stream.read() == b"content"


def test_a_storage_can_be_pickled(store: Storage) -> None:
    store.write("a", b"1")
    assert pickle.loads(pickle.dumps(store)).read("a") == b"1"


def test_a_bucket_without_a_prefix_is_a_storage(s3_endpoint: str, bucket: str) -> None:
    store = open_storage(f"s3://{bucket}", StorageOptions(endpoint=s3_endpoint))
    store.write("a", b"1")
    assert [entry.key for entry in store.list()] == ["a"]
    assert store.uri == f"s3://{bucket}"


@pytest.mark.parametrize("location", ["s3://", "gs://", "az:///a"])
def test_a_location_needs_a_bucket(location: str) -> None:
    with pytest.raises(UserError, match=r"needs a (bucket|container)"):
        open_storage(location, StorageOptions())


@pytest.mark.parametrize(("location", "extra"), [("gs://b", "gcs"), ("az://b", "azure")])
def test_a_missing_client_is_named(location: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"pip install 'colorize\[{extra}\]'"):
        open_storage(location, StorageOptions())


def test_azure_needs_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_CONNECTION_STRING"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="AZURE_STORAGE_ACCOUNT"):
        open_storage("az://photographs", StorageOptions(max_attempts=7)).check()


def test_a_local_store_expands_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert open_storage("~/photos", StorageOptions()) == LocalStorage("/home/ann/photos")


def test_a_failed_local_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStorage(str(tmp_path))

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        store.write("a", b"1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/etc/outside"])
def test_keys_outside_a_local_storage_are_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(OSError, match="unsafe key"):
        LocalStorage(str(tmp_path / "store")).write(key, b"1")
    assert not (tmp_path / "outside").exists()


def test_an_error_of_writing_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError, match=r"Is a directory: '.*/a'"):
        LocalStorage(str(tmp_path)).write("a", b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_half_written_files_are_not_listed_and_can_be_deleted(tmp_path: Path) -> None:
    """A process that was killed leaves one."""
    code = "import os, sys; from cluster.storage.stores import LocalStorage; os.replace = lambda *_: os._exit(9); "
    code += "LocalStorage(sys.argv[1]).write('rows/a.parquet', b'1')"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=60).returncode == 9
    LocalStorage(str(tmp_path)).write("rows/b.parquet", b"1")
    assert len(list((tmp_path / "rows").iterdir())) == 2
    assert [entry.key for entry in LocalStorage(str(tmp_path)).list()] == ["rows/b.parquet"]
    LocalStorage(str(tmp_path)).delete_half_written()
    assert [path.name for path in (tmp_path / "rows").iterdir()] == ["b.parquet"]


def test_a_file_that_is_deleted_during_the_listing_is_passed_over(tmp_path: Path) -> None:
    store = LocalStorage(str(tmp_path))
    for key in ("a", "b", "c"):
        store.write(key, b"1")
    found = []
    for entry in store.list():
        found.append(entry.key)
        store.delete("b")
    assert found == ["a", "c"]


def test_local_files_get_the_usual_permissions(tmp_path: Path) -> None:
    LocalStorage(str(tmp_path)).write("ours", b"")
    (tmp_path / "theirs").write_bytes(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


def test_content_type_is_stored(s3_endpoint: str, bucket: str) -> None:
    S3Storage(bucket, "", StorageOptions(endpoint=s3_endpoint)).write("a.png", b"1", "image/png")
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1")
    assert client.head_object(Bucket=bucket, Key="a.png")["ContentType"] == "image/png"


def test_credentials_are_not_an_option() -> None:
    names = set(StorageOptions.model_fields) - {"kms_key"}  # the name of a key, not a key
    assert not any(word in name for name in names for word in ("key", "secret", "token", "password"))


def test_deleting_is_idempotent(store: Storage) -> None:
    store.write("a/b", b"1")
    store.delete("a/b")
    store.delete("a/b")
    assert not store.exists("a/b")


def test_options_are_sent_with_the_requests(s3_endpoint: str, bucket: str) -> None:
    options = StorageOptions(
        endpoint=s3_endpoint, encryption="aws:kms", kms_key="alias/archive", path_style=True, requester_pays=True
    )
    store = open_storage(f"s3://{bucket}/x", options)
    store.write("a", b"1")
    assert store.read("a") == b"1"
    assert [entry.key for entry in store.list()] == ["a"]
    head = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1").head_object(Bucket=bucket, Key="x/a")
    assert head["ServerSideEncryption"] == "aws:kms"
    assert head["SSEKMSKeyId"] == "alias/archive"


def test_public_buckets_need_no_credentials(
    s3_endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    open_storage(f"s3://{bucket}", StorageOptions(endpoint=s3_endpoint)).write("a", b"1")
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1")
    client.put_object_acl(Bucket=bucket, Key="a", ACL="public-read")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    store = open_storage(f"s3://{bucket}", StorageOptions(endpoint=s3_endpoint, anonymous=True))
    assert store.read("a") == b"1"


@pytest.mark.parametrize("attempts", [1, 5])
def test_redirections_in_circles_are_not_repeated(attempts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore follows them to the recursion limit, which its HTTP client reports as an error of the network."""
    from botocore.exceptions import HTTPClientError

    requests = []

    def list_objects_v2(**_: object) -> None:
        requests.append(1)
        try:
            raise RecursionError
        except RecursionError as error:
            raise HTTPClientError(error=error)  # noqa: B904 (as botocore does)

    monkeypatch.setattr(s3, "_client", lambda options: SimpleNamespace(list_objects_v2=list_objects_v2))
    with pytest.raises(StorageError, match="redirected the request and named no region"):
        list(S3Storage("bucket", "", StorageOptions(max_attempts=attempts)).list())
    assert len(requests) == 1


def test_a_leading_slash_of_a_prefix_is_part_of_the_key(s3_endpoint: str, bucket: str) -> None:
    store = open_storage(f"s3://{bucket}//photos/", StorageOptions(endpoint=s3_endpoint))
    store.write("a", b"1")
    assert [entry.key for entry in open_storage(f"s3://{bucket}", store.options).list()] == ["/photos/a"]
    assert [entry.key for entry in store.list()] == ["a"]
    assert store.filesystem.open_input_file(store.path("a")).read() == b"1"


def test_an_endpoint_without_a_scheme_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"storage\.endpoint=minio:9000: an endpoint must start with https://"):
        open_storage("s3://bucket", StorageOptions(endpoint="minio:9000")).check()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:9000")
    with pytest.raises(UserError, match="AWS_ENDPOINT_URL=localhost:9000"):
        open_storage("s3://bucket", StorageOptions()).check()


class _Refusal(BaseHTTPRequestHandler):
    """Answers every request with one error."""

    answer: ClassVar[tuple[int, str]]
    asked: ClassVar[list[str]] = []
    """Names of the headers of all requests, in lowercase."""

    def _refuse(self) -> None:
        self.asked.extend(name.lower() for name in self.headers)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, code = self.answer
        data = f"<Error><Code>{code}</Code><Message>Said the server.</Message></Error>".encode()
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else data)

    do_GET = do_PUT = do_HEAD = _refuse  # noqa: N815

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def refusing(request: pytest.FixtureRequest, s3_environment: None) -> Iterator[S3Storage]:
    """Storage on a server that answers every request with the error of the test's parameter."""
    handler = type("Handler", (_Refusal,), {"answer": request.param})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield S3Storage("some-bucket", "gray", StorageOptions(endpoint=f"http://127.0.0.1:{server.server_port}"))
        server.shutdown()


@pytest.mark.parametrize("refusing", [(403, "AccessDenied")], indirect=True)
def test_servers_other_than_aws_are_sent_no_checksums(refusing: S3Storage) -> None:
    """Google Cloud Storage and older servers refuse those that boto3 adds by default."""
    _Refusal.asked.clear()
    with pytest.raises(OSError, match="AccessDenied"):
        refusing.write("a.jpg", b"1")
    assert "content-length" in _Refusal.asked
    assert [
        name for name in _Refusal.asked if "checksum" in name or name in ("x-amz-trailer", "content-encoding")
    ] == []


@pytest.mark.parametrize(
    ("refusing", "advice"),
    [
        ((301, "PermanentRedirect"), "set storage.region"),
        ((400, "AuthorizationHeaderMalformed"), "set storage.region"),
        ((400, "ExpiredToken"), "renew the credentials"),
        ((403, "AccessDenied"), "grant the permissions"),
        ((403, "InvalidAccessKeyId"), "give the machine credentials"),
        ((404, "NoSuchBucket"), "create the bucket"),
    ],
    indirect=["refusing"],
)
def test_a_refusal_says_where_and_what_to_do(refusing: S3Storage, advice: str) -> None:
    for listed in (refusing.check, lambda: list(refusing.list())):
        with pytest.raises(ClusterError) as refused:
            listed()
        assert str(refused.value).startswith("s3://some-bucket/gray: ")
        assert advice in str(refused.value)
    with pytest.raises(OSError, match="s3://some-bucket/gray/new: cannot be written") as failed:
        refusing.write("new", b"1")
    assert advice in with_advice(str(failed.value))


def test_missing_credentials_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, s3_endpoint: str, bucket: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it has read the credentials
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    options = StorageOptions(endpoint=s3_endpoint, max_attempts=3)  # not those of a client that has credentials
    with pytest.raises(ClusterError, match=r"nable to locate credentials.*storage\.anonymous=true"):
        S3Storage(bucket, "", options).check()
