from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cluster.storage import StorageOptions, open_storage
from jobs import manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "b").mkdir(parents=True)
    for name in ("b/2.JPG", "a.png", "c.txt"):
        (source / name).write_bytes(b"1234")
    return source


def listed(output: Path) -> list[dict]:
    return pq.read_table(output / manifest.FOLDER).to_pylist()


def write(source: Path, output: Path) -> manifest.Listing:
    stores = (open_storage(str(path), StorageOptions()) for path in (source, output))
    return manifest.write_manifest(*stores, (".jpg", ".png"))


def test_inputs_are_numbered_in_order_and_others_counted(folder: Path, tmp_path: Path) -> None:
    assert write(folder, tmp_path / "out") == manifest.Listing(count=2, ignored=1)
    assert listed(tmp_path / "out") == [
        {"index": 0, "key": "a.png", "size": 4},
        {"index": 1, "key": "b/2.JPG", "size": 4},
    ]


def test_long_listings_are_written_in_parts(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "_ROWS_PER_FILE", 2)
    for number in range(3):
        (folder / f"d{number}.jpg").write_bytes(b"")
    write(folder, tmp_path / "out")
    assert len(list((tmp_path / "out" / manifest.FOLDER).iterdir())) == 3
    assert [row["index"] for row in listed(tmp_path / "out")] == [0, 1, 2, 3, 4]
