"""Locations as users write them."""

from pathlib import Path

import pytest

from colorize_core.errors import UserError
from colorize_core.runtime.locations import normalize_location


@pytest.mark.parametrize("written", ["s3://b/a b/ü", "S3://b/a b/ü", "s3a://b/a b/ü", "s3n://b/a b/ü"])
def test_s3_has_several_spellings(written: str) -> None:
    assert normalize_location(written) == "s3://b/a b/ü"


@pytest.mark.parametrize(
    "written", ["file:///data/a%20b", "file://localhost/data/a%20b", "FILE:///data/a b", "/data/a b"]
)
def test_a_file_url_is_a_path(written: str) -> None:
    assert normalize_location(written) == "/data/a b"


def test_local_paths_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert normalize_location("photos/../gray") == str(tmp_path / "gray")
    assert normalize_location("~/gray") == "/home/somebody/gray"
    assert normalize_location("C:odd#name?") == str(tmp_path / "C:odd#name?")


@pytest.mark.parametrize(
    ("location", "advice"),
    [
        ("abfss://b@account/x", "az://CONTAINER/PREFIX"),
        ("https://host/x.jpg", "download"),
        ("ftp://host/x", "use a path or an s3://, gs:// or az:// URI"),
        ("s3a:/b/x", "write s3a:// with two slashes"),
        ("file://server/share", "path of this machine"),
    ],
)
def test_other_schemes_are_refused_with_a_way_out(location: str, advice: str) -> None:
    with pytest.raises(UserError) as refused:
        normalize_location(location)
    assert str(refused.value).startswith(location)
    assert advice in str(refused.value)
