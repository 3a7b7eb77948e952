"""Publication of the color images that reviewers accepted, without Ray: the run is made of files."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cluster.storage.s3 import S3Storage
from cluster.storage.stores import LocalStorage, Storage, StorageOptions, open_storage
from jobs.cli import main
from jobs.run.parquet import parquet_bytes

KEYS = ("box 1/a.tif", "box 1/b.jpg", "c.gif", "d.jpg")


def image_of(key: str) -> str:
    return "c.gif.color.png" if key == "c.gif" else key


def make_run(output: Storage, settings: dict[str, str] | None = None, content: bytes = b"color") -> None:
    """Write what an archive run leaves; d.jpg failed."""
    record = {
        "verb": "archive",
        "status": "done",
        "started": "2026-11-28T10:00:00+00:00",
        "inputs": {"checkpoint": "5ha"},
    }
    output.write("run.json", json.dumps(record).encode())
    rows = []
    for key in KEYS:
        ok = key != "d.jpg"
        if ok:
            output.write(f"images/{image_of(key)}", content + key.encode())
        row: dict[str, Any] = {"key": key, "status": "ok" if ok else "truncated"}
        row |= {"output_key": image_of(key) if ok else None, "width": 640, "height": 480}
        row |= {"output_bytes": len(content + key.encode()) if ok else None, "settings": (settings or {}).get(key)}
        rows.append(row)
    output.write("metrics/part-00000.parquet", parquet_bytes(pa.Table.from_pylist(rows)))


def decide(path: Path, by: str = "Ann", **decisions: str) -> str:
    """Write a corrections file; decisions by the name of the file without folder and ending."""
    keys = {key.rpartition("/")[2].partition(".")[0]: key for key in KEYS}
    row = {"by": by, "at": "2026-11-28T12:00:00+00:00", "note": "<script>, \u00fc"}
    rows = {keys.get(name, name): {"decision": decision, **row} for name, decision in decisions.items()}
    path.write_text(json.dumps({"rows": rows}))
    return str(path)


@pytest.fixture
def run(tmp_path: Path) -> Storage:
    store = open_storage(str(tmp_path / "run"), StorageOptions())
    make_run(store)
    return store


def record_of(output: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((output / "published.csv").read_text())))


def images_in(output: Path) -> list[str]:
    return sorted(str(path.relative_to(output / "images")) for path in (output / "images").rglob("*") if path.is_file())


def test_only_accepted_images_are_copied_with_a_record(
    run: Storage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decisions = decide(tmp_path / "a.json", a="accept", b="reject", c="accept", d="accept", gone="accept")
    assert main(["publish", run.uri, f"{tmp_path}/out", f"corrections={decisions}"]) == 0
    out = tmp_path / "out"
    assert images_in(out) == ["box 1/a.tif", "c.gif.color.png"]
    assert (out / "images/box 1/a.tif").read_bytes() == b"colorbox 1/a.tif"
    first = record_of(out)[0]
    assert {name: first[name] for name in ("key", "image", "by", "at", "note", "weights")} == {
        "key": "box 1/a.tif",
        "image": "box 1/a.tif",
        "by": "Ann",
        "at": "2026-11-28T12:00:00+00:00",
        "note": "<script>, \u00fc",
        "weights": "5ha",
    }
    said = capsys.readouterr().out
    for line in ("2 (2 copied, 0 removed)", "1 rejected", "1 accepted without a color image", "1 decided but not in"):
        assert line in said


def test_a_rule_accepts_a_folder(run: Storage, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decisions = {"rules": [{"keys": "box 1/*", "decision": "accept"}], "rows": {"box 1/b.jpg": {"decision": "reject"}}}
    (tmp_path / "a.json").write_text(json.dumps(decisions))
    assert main(["publish", run.uri, f"{tmp_path}/out", f"corrections={tmp_path}/a.json"]) == 0
    assert images_in(tmp_path / "out") == ["box 1/a.tif"]
    assert "2 without a decision" in capsys.readouterr().out


def test_the_same_command_copies_nothing_again(
    run: Storage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["publish", run.uri, f"{tmp_path}/out", f"corrections={decide(tmp_path / 'a.json', a='accept')}"]
    assert main(arguments) == 0
    assert main(arguments) == 0
    assert "1 (0 copied, 0 removed)" in capsys.readouterr().out


def test_an_image_that_was_made_again_is_copied_again(run: Storage, tmp_path: Path) -> None:
    arguments = ["publish", run.uri, f"{tmp_path}/out", f"corrections={decide(tmp_path / 'a.json', a='accept')}"]
    assert main(arguments) == 0
    make_run(run, {"box 1/a.tif": '{"strength": 0.5}'}, b"paler")  # as long as before
    assert main(arguments) == 0
    assert (tmp_path / "out/images/box 1/a.tif").read_bytes() == b"palerbox 1/a.tif"


def test_an_interrupted_publication_continues(
    run: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "publish",
        run.uri,
        f"{tmp_path}/out",
        f"corrections={decide(tmp_path / 'a.json', a='accept', c='accept')}",
    ]
    write = LocalStorage.write

    def fail(self: LocalStorage, key: str, data: bytes, content_type: str | None = None) -> None:
        if key.startswith("c.gif"):
            raise OSError(28, "No space left on device")
        write(self, key, data, content_type)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "write", fail)
        assert main(arguments) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert main(arguments) == 0
    assert images_in(tmp_path / "out") == ["box 1/a.tif", "c.gif.color.png"]
    assert len(record_of(tmp_path / "out")) == 2


def test_what_is_no_longer_accepted_is_removed(run: Storage, tmp_path: Path) -> None:
    arguments = ["publish", run.uri, f"{tmp_path}/out", f"corrections={tmp_path}/a.json"]
    decide(tmp_path / "a.json", a="accept", c="accept")
    assert main(arguments) == 0
    decide(tmp_path / "a.json", a="accept", c="reject")
    assert main(arguments) == 0
    assert images_in(tmp_path / "out") == ["box 1/a.tif"]


def test_conflicts_are_listed_and_not_published(
    run: Storage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ann = decide(tmp_path / "ann.json", a="accept", b="accept")
    ben = decide(tmp_path / "ben.json", by="Ben", a="reject", b="accept")
    assert main(["publish", run.uri, f"{tmp_path}/out", f"corrections=[{ann}, {ben}]"]) == 0
    assert images_in(tmp_path / "out") == ["box 1/b.jpg"]
    lines = (tmp_path / "out/conflicts.csv").read_text().splitlines()
    assert [line.split(",")[:3] for line in lines[1:]] == [
        ["box 1/a.tif", "Ann", "accept"],
        ["box 1/a.tif", "Ben", "reject"],
    ]
    assert "1, not published" in capsys.readouterr().out


def test_a_manifest_of_each_folder_offers_original_and_color(run: Storage, tmp_path: Path) -> None:
    decisions = decide(tmp_path / "a.json", a="accept", c="accept")
    urls = ["url=https://museum.example/color/", "originals_url=https://museum.example/gray"]
    assert main(["publish", run.uri, f"{tmp_path}/out", f"corrections={decisions}", *urls]) == 0
    manifest = json.loads((tmp_path / "out/iiif/box 1/manifest.json").read_text())
    assert manifest["id"] == "https://museum.example/color/iiif/box%201/manifest.json"
    [canvas] = manifest["items"]
    body = canvas["items"][0]["items"][0]["body"]
    assert (body["type"], [item["id"] for item in body["items"]]) == (
        "Choice",
        ["https://museum.example/gray/box%201/a.tif", "https://museum.example/color/images/box%201/a.tif"],
    )
    assert [item["format"] for item in body["items"]] == ["image/tiff", "image/tiff"]
    top = json.loads((tmp_path / "out/iiif/manifest.json").read_text())
    assert [item["format"] for item in top["items"][0]["items"][0]["items"][0]["body"]["items"]] == [
        "image/gif",
        "image/png",
    ]


def test_s3_copies_by_itself(s3_endpoint: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = StorageOptions(endpoint=s3_endpoint)
    make_run(open_storage(f"s3://{bucket}/run", options))
    read: list[str] = []
    original = S3Storage.request_bytes
    monkeypatch.setattr(
        S3Storage, "request_bytes", lambda self, key, part: read.append(key) or original(self, key, part)
    )
    decisions = decide(tmp_path / "a.json", a="accept", c="accept")
    arguments = [f"s3://{bucket}/run", f"s3://{bucket}/out", f"corrections={decisions}"]
    assert main(["publish", *arguments, f"storage.endpoint={s3_endpoint}"]) == 0
    assert [key for key in read if "/images/" in key] == []
    published = open_storage(f"s3://{bucket}/out/images", options)
    assert {entry.key: published.read(entry.key) for entry in published.list()} == {
        "box 1/a.tif": b"colorbox 1/a.tif",
        "c.gif.color.png": b"colorc.gif",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run": "nothing"}, "nothing: not the output of an archive run"),
        ({"output": "run/out"}, "is inside the run"),
        ({"output": "full"}, "is not empty and contains no publication"),
        ({"corrections": "missing.json"}, "missing.json: cannot be read"),
        ({"url": "museum.example"}, "must start with https:// or http://"),
        ({"originals_url": "https://museum.example"}, "has no effect without url"),
    ],
)
def test_mistakes_are_one_line(
    changes: dict[str, str],
    message: str,
    run: Storage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("not ours")
    decide(tmp_path / "a.json", a="accept")
    keys = {"run": run.uri, "output": f"{tmp_path}/out", "corrections": "a.json", **changes}
    assert main(["publish", *(f"{key}={value}" for key, value in keys.items())]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter.txt"]
