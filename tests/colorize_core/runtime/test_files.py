import os
from pathlib import Path

import boto3
import pytest
from pyarrow import fs

from colorize_core.errors import UserError
from colorize_core.runtime.files import locate, read_file


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    data = os.urandom(100_000)
    (tmp_path / "file").write_bytes(data)
    assert read_file(str(tmp_path / "file")) == data


def test_a_relative_path_is_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    assert read_file("file") == b"x"


def test_a_file_uri_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    assert read_file((tmp_path / "file").as_uri()) == b"x"


def test_a_path_is_of_the_file_system_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    assert read_file("file", fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())) == b"x"


def test_a_given_file_system_is_used_as_it_is(tmp_path: Path) -> None:
    system = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    assert locate("some/path", system) == (system, "some/path")


def one_line(location: str) -> str:
    with pytest.raises(UserError) as caught:
        read_file(location)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert one_line(f"{tmp_path}/nothing") == f"{tmp_path}/nothing: no such file"


def test_a_directory_cannot_be_read(tmp_path: Path) -> None:
    assert str(tmp_path) in one_line(str(tmp_path))


def test_an_unknown_kind_of_uri_is_named() -> None:
    assert "gopher://host/file" in one_line("gopher://host/file")


def test_an_s3_uri_is_read_through_the_endpoint_of_the_environment(
    bucket: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1").put_object(
        Bucket=bucket, Key="a/file", Body=b"from s3"
    )
    assert read_file(f"s3://{bucket}/a/file") == b"from s3"


def test_a_missing_s3_object_is_named(bucket: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    assert f"s3://{bucket}/nothing" in one_line(f"s3://{bucket}/nothing")
