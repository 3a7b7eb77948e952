"""Manifests: listing, selection, lists given by the user."""

import errno
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from cluster.storage.stores import Entry, LocalStorage, Storage, StorageOptions, open_storage
from colorize_core.errors import UserError
from colorize_core.status import Status
from jobs.inputs import listing as manifest
from jobs.inputs.fetch import fetch_all
from jobs.inputs.listing import Listing, ListingOptions, sample_inputs

ENDINGS = (".jpg", ".png")
OPTIONS = StorageOptions()


@pytest.fixture
def source(tmp_path: Path) -> LocalStorage:
    store = LocalStorage(str(tmp_path / "source"))
    for name in ("b/2.JPG", "a.png", "c.txt"):
        store.write(name, b"1234")
    return store


@pytest.fixture
def output(tmp_path: Path) -> LocalStorage:
    return LocalStorage(str(tmp_path / "out"))


def listed(output: Storage, listing: Listing) -> list[dict[str, object]]:
    return [row for part in range(listing.parts) for row in manifest.read_part(output, part).to_pylist()]


def write(source: Storage, output: Storage, **rule: object) -> Listing:
    return manifest.write_manifest(source, output, ENDINGS, ListingOptions.model_validate(rule), OPTIONS)


def keys(source: Storage, output: Storage, **rule: object) -> list[object]:
    return [row["key"] for row in listed(output, write(source, output, **rule))]


def test_inputs_are_numbered_and_others_counted(source: Storage, output: Storage) -> None:
    listing = write(source, output)
    assert listing == Listing(count=2, excluded={".txt": 1}, bytes=8, parts=1)
    assert listed(output, listing) == [
        {"index": 0, "key": "a.png", "size": 4, "settings": None},
        {"index": 1, "key": "b/2.JPG", "size": 4, "settings": None},
    ]


def test_long_listings_are_written_in_parts(source: Storage, output: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "ROWS_PER_PART", 2)
    for number in range(3):
        source.write(f"d{number}.jpg", b"")
    listing = write(source, output)
    assert listing.parts == 3
    assert [row["index"] for row in listed(output, listing)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("rule", "selected"),
    [
        ({"include": ["b/*"]}, ["b/2.JPG"]),
        ({"exclude": ["b/*"]}, ["a.png"]),
        ({"include": ["*.png", "b/?.JPG"], "exclude": ["a*"]}, ["b/2.JPG"]),
        ({"extensions": [".PNG"]}, ["a.png"]),
        ({"extensions": [".txt"]}, ["c.txt"]),
        ({"min_bytes": 5}, []),
        ({"max_bytes": 3}, []),
        ({"min_bytes": 4, "max_bytes": 4}, ["a.png", "b/2.JPG"]),
    ],
)
def test_inputs_are_selected(source: Storage, output: Storage, rule: dict[str, object], selected: list[str]) -> None:
    assert keys(source, output, **rule) == selected


def test_a_sample_comes_with_the_totals_of_the_manifest(source: Storage, output: Storage) -> None:
    for number in range(30):
        source.write(f"d{number}.jpg", b"12")
    listing, sample = sample_inputs(source, ENDINGS, ListingOptions(), OPTIONS, size=5)
    assert listing == write(source, output)
    assert len({entry.key for entry in sample}) == 5


# Given lists


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_given_list_is_followed_in_its_order(source: Storage, output: Storage, tmp_path: Path, kind: str) -> None:
    table = pa.table({"key": ["b/2.JPG", "not there.jpg", "a.png"], "size": [4, None, 4], "box": ["1", "2", "3"]})
    path = tmp_path / f"list.{kind}"
    pq.write_table(table, path) if kind == "parquet" else pa.csv.write_csv(table, path)
    rows = listed(output, write(source, output, manifest=str(path)))
    assert [(row["key"], row["size"]) for row in rows] == [("b/2.JPG", 4), ("not there.jpg", -1), ("a.png", 4)]


def test_sizes_are_optional_in_a_given_list(source: Storage, output: Storage, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("key\n007.jpg\n")
    assert listed(output, write(source, output, manifest=f"{tmp_path}/list.csv", min_bytes=9)) == [
        {"index": 0, "key": "007.jpg", "size": -1, "settings": None}
    ]


def test_other_columns_of_a_given_list_become_settings(source: Storage, output: Storage, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("key,box,strength\na.png,12,0.5\nb/2.JPG,,\n")
    listing = manifest.write_manifest(
        source,
        output,
        ENDINGS,
        ListingOptions(manifest=f"{tmp_path}/list.csv"),
        OPTIONS,
        lambda key, row: f"{key} {row}",
    )
    assert [row["settings"] for row in listed(output, listing)] == [
        "a.png {'box': 12, 'strength': 0.5}",
        None,
    ]


def test_a_repeated_key_is_one_input(
    source: Storage, output: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "ROWS_PER_PART", 2)
    (tmp_path / "list.csv").write_text("key\n" + "".join(f"{name}.jpg\n" for name in "abacabdb"))
    listing = write(source, output, manifest=f"{tmp_path}/list.csv")
    assert [row["key"] for row in listed(output, listing)] == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert listing.excluded == {"repeated": 4}
    sampled, _ = sample_inputs(source, ENDINGS, ListingOptions(manifest=f"{tmp_path}/list.csv"), OPTIONS)
    assert sampled == listing


def test_keys_with_equal_hashes_are_different_inputs(
    source: Storage, output: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "hash", lambda key: 0, raising=False)
    (tmp_path / "list.csv").write_text("key\na.jpg\nb.jpg\n")
    assert keys(source, output, manifest=f"{tmp_path}/list.csv") == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("list.csv", b"name\na.jpg\n", "column key is missing (columns: name)"),
        ("list.parquet", b"no parquet", "not a readable table"),
        ("list.txt", b"a.jpg", "must be a .parquet or .csv file"),
        ("manifest.json", b"{}", "not the manifest of an S3 Inventory"),
    ],
)
def test_an_unusable_list_is_an_error_of_one_line(
    source: Storage, output: Storage, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        write(source, output, manifest=f"{tmp_path}/{name}")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_list_is_an_error_of_one_line(source: Storage, output: Storage, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"list\.csv: cannot be read"):
        write(source, output, manifest=f"{tmp_path}/list.csv")


@pytest.mark.parametrize("kind", ["CSV", "Parquet"])
def test_an_s3_inventory_is_followed(s3_endpoint: str, bucket: str, output: Storage, kind: str) -> None:
    """As AWS writes it: whole keys, in CSV percent-encoded and without a header, folders as objects."""
    options = StorageOptions(endpoint=s3_endpoint)
    store = open_storage(f"s3://{bucket}", options)
    found = [("gray/ü 1.jpg", 10), ("gray/", 0), ("gray/b/2.jpg", 20), ("other/3.jpg", 30), ("gray/notes.txt", 5)]
    name = f"inventory/data/part.{'csv.gz' if kind == 'CSV' else 'parquet'}"
    if kind == "CSV":
        encoded = [("gray/%C3%BC+1.jpg", 10), *found[1:]]
        lines = "".join(f'"{bucket}","{key}","{size}"\n' for key, size in encoded)
        store.write(name, gzip.compress(lines.encode()))
    else:
        sink = pa.BufferOutputStream()
        pq.write_table(
            pa.table({"bucket": [bucket] * 5, "key": [k for k, _ in found], "size": [s for _, s in found]}), sink
        )
        store.write(name, sink.getvalue().to_pybytes())
    record = {
        "sourceBucket": bucket,
        "destinationBucket": f"arn:aws:s3:::{bucket}",
        "fileFormat": kind,
        "fileSchema": "Bucket, Key, Size",
        "files": [{"key": name, "size": 1, "MD5checksum": ""}],
    }
    store.write("inventory/manifest.json", json.dumps(record).encode())
    rule = ListingOptions(manifest=f"s3://{bucket}/inventory/manifest.json")
    listing = manifest.write_manifest(store.child("gray"), output, ENDINGS, rule, options)
    assert [(row["key"], row["size"]) for row in listed(output, listing)] == [("ü 1.jpg", 10), ("b/2.jpg", 20)]
    with pytest.raises(UserError, match=f"an inventory of the bucket {bucket}, but the source is"):
        manifest.write_manifest(LocalStorage("/tmp"), output, ENDINGS, rule, options)


def test_an_unknown_size_meets_every_limit() -> None:
    assert not ListingOptions(max_bytes=1).exclusion(Entry("a.jpg", -1), ENDINGS)


# What is not an input


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders named `secret` cannot be read, even by root."""
    scandir, listdir = os.scandir, os.listdir

    def refuse(path: str | bytes) -> None:
        if os.fsdecode(path).rstrip("/").endswith("secret"):
            raise PermissionError(errno.EACCES, "Permission denied", os.fsdecode(path))

    def scan(path: str) -> Any:
        refuse(path)
        return scandir(path)

    def entries(path: Any) -> Any:
        refuse(path)
        return listdir(path)

    monkeypatch.setattr(os, "scandir", scan)
    monkeypatch.setattr(os, "listdir", entries)


def test_files_are_excluded_by_a_reason_each(source: Storage, output: Storage) -> None:
    for name in ("d.txt", "e.XML", "Makefile", "big.jpg", "b/skip.png"):
        source.write(name, b"12345" if name == "big.jpg" else b"1234")
    listing = write(source, output, max_bytes=4, exclude=["*skip*"])
    assert listing.excluded == {
        ".txt": 2,
        ".xml": 1,
        "other file names": 1,
        "size (listing.min_bytes, listing.max_bytes)": 1,
        "in listing.exclude": 1,
    }
    assert listing.describe_excluded().startswith("2 .txt, 1 ")


@pytest.mark.parametrize(
    "key",
    ["._a.jpg", "b/._2.jpg", "@eaDir/a.png/small.jpg", "b/__MACOSX/x.jpg", ".Trash-1000/x.png", ".thumbnails/x.png"],
)
def test_what_systems_write_beside_photographs_is_excluded(source: LocalStorage, output: Storage, key: str) -> None:
    source.write(key, b"1234")
    listing = write(source, output)
    assert (listing.count, listing.excluded) == (2, {"system files (listing.system_files)": 1, ".txt": 1})
    assert key in keys(source, LocalStorage(f"{source.root}-out"), system_files=True)


@pytest.mark.parametrize("key", ["Thumbs.db.jpg", "a._b.jpg", "my@eaDir/x.jpg", ".hidden.jpg", "_._.jpg"])
def test_names_that_only_look_like_system_files_are_inputs(source: LocalStorage, output: Storage, key: str) -> None:
    source.write(key, b"1234")
    assert key in keys(source, output)


def test_a_folder_that_cannot_be_read_is_an_input_that_fails(
    source: LocalStorage, output: Storage, forbidden: None
) -> None:
    source.write("b/secret/3.jpg", b"1234")
    assert keys(source, output) == ["a.png", "b/2.JPG", "b/secret/"]
    (fetched,) = fetch_all(source, ["b/secret/"])
    assert fetched.status == Status.READ_ERROR
    assert "Permission denied" in fetched.error
    assert keys(source, output, include=["*.png"]) == ["a.png", "b/secret/"]
    assert keys(source, output, exclude=["b/secret/*"]) == ["a.png", "b/2.JPG"]


def test_links_to_folders_are_counted_or_followed(source: LocalStorage, output: Storage, tmp_path: Path) -> None:
    elsewhere = LocalStorage(str(tmp_path / "elsewhere"))
    elsewhere.write("album/4.jpg", b"1234")
    os.symlink(elsewhere.root, f"{source.root}/link")
    os.symlink(source.root, f"{elsewhere.root}/album/circle")
    os.symlink("a.png", f"{source.root}/f.png")  # a link to a file is an input
    listing = write(source, output)
    assert [row["key"] for row in listed(output, listing)] == ["a.png", "f.png", "b/2.JPG"]
    assert listing.excluded == {".txt": 1, "link to a folder (listing.follow_links)": 1}
    followed = write(source, output, follow_links=True)
    assert [row["key"] for row in listed(output, followed)] == ["a.png", "f.png", "b/2.JPG", "link/album/4.jpg"]
    assert followed.excluded == {".txt": 1, "link to a folder (listing.follow_links)": 1}  # the circle


def test_a_source_of_only_links_says_so(tmp_path: Path) -> None:
    LocalStorage(str(tmp_path / "elsewhere")).write("4.jpg", b"1234")
    (tmp_path / "source").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "source/link")
    with pytest.raises(
        UserError, match=r"no photographs found \(excluded: 1 link to a folder \(listing.follow_links\)"
    ):
        manifest.require_photographs(LocalStorage(str(tmp_path / "source")), ENDINGS, ListingOptions(), OPTIONS)
