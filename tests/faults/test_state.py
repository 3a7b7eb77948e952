"""Outputs in which an earlier run was interrupted between two writes, or is still active."""

import json
from pathlib import Path

import pyarrow.compute as pc
import pytest

from cluster.storage.stores import LocalStorage, StorageOptions, open_storage
from jobs.archive import rows
from jobs.cli import main
from tests.faults.archives import images_of, photographs, rows_of
from tests.faults.processes import start, wait_for


@pytest.fixture
def output(tmp_path: Path) -> LocalStorage:
    return LocalStorage(str(tmp_path / "out"))


@pytest.fixture
def arguments(tmp_path: Path, photo_paths: list[Path], tiny_checkpoint: str, output: LocalStorage) -> list[str]:
    """Arguments of a run with four photographs."""
    source = LocalStorage(str(tmp_path / "source"))
    for key, data in photographs(photo_paths, 4).items():
        source.write(key, data)
    return [f"source={source.root}", f"output={output.root}", f"checkpoint={tiny_checkpoint}"]


def test_an_interrupted_merge_is_repeated(arguments: list[str], output: LocalStorage, ray_local: None) -> None:
    assert main(["archive", *arguments]) == 0
    whole = rows.read_merged(output, 0)
    assert whole is not None
    rows.stage(output, rows.FIRST, 0, whole.slice(1, 2))  # merged, but not yet deleted
    assert main(["archive", *arguments]) == 0
    assert rows.read_merged(output, 0) == whole
    assert rows.read_staged(output, rows.FIRST, 0) is None


@pytest.mark.long
def test_the_rows_of_an_interrupted_retry_are_merged_by_the_next_run(
    arguments: list[str], output: LocalStorage, ray_local: None, tmp_path: Path
) -> None:
    """Its color images exist: rows that still report failures would be wrong."""
    broken = next((tmp_path / "source").rglob("*.jpg"))
    good = broken.read_bytes()
    broken.write_bytes(b"")
    assert main(["archive", *arguments, "max_failed_fraction=0.5"]) == 0
    broken.write_bytes(good)
    failed = output.read("metrics/part-00000.parquet")
    assert main(["archive", *arguments, "retry_failed=true"]) == 0
    whole = rows.read_merged(output, 0)
    assert whole is not None
    output.write("metrics/part-00000.parquet", failed)  # as if killed before its row was merged
    key = broken.relative_to(tmp_path / "source").as_posix()
    rows.stage(output, rows.RETRIED, 0, whole.filter(pc.equal(whole.column("key"), key)))
    assert main(["archive", *arguments]) == 0
    assert rows.read_merged(output, 0) == whole


@pytest.mark.long
def test_a_new_run_that_was_interrupted_while_it_deleted_the_old_one_is_continued(
    arguments: list[str], output: LocalStorage, ray_local: None
) -> None:
    assert main(["archive", *arguments]) == 0
    images = images_of(output)
    output.delete("_state/listing.json")
    output.delete("_state/manifest/part-00000.parquet")
    assert main(["archive", *arguments]) == 0
    assert images_of(output) == images
    assert len(rows_of(output)) == 4


def test_overlapping_locations_are_refused_on_s3(
    s3_endpoint: str, bucket: str, tiny_checkpoint: str, photo_paths: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    storage = open_storage(f"s3://{bucket}", StorageOptions(endpoint=s3_endpoint))
    storage.write("gray/in/1.jpg", photo_paths[0].read_bytes())
    pairs = [("gray", "gray"), ("gray", "gray/out"), ("gray/in", "gray"), ("gray/", "gray//"), ("", "out")]
    for source, output in pairs:
        where = [f"source=s3://{bucket}/{source}", f"output=s3://{bucket}/{output}", f"checkpoint={tiny_checkpoint}"]
        assert main(["archive", *where, f"storage.endpoint={s3_endpoint}"]) == 2
        assert "overlap" in capsys.readouterr().err
    assert [entry.key for entry in storage.list()] == ["gray/in/1.jpg"]


def test_an_output_with_other_files_is_not_changed(
    arguments: list[str], output: LocalStorage, capsys: pytest.CaptureFixture[str]
) -> None:
    output.write("letters/1921.txt", b"Dear Ann")
    assert main(["archive", *arguments]) == 2
    assert "the output is not empty and contains no archive run" in capsys.readouterr().err
    assert main(["archive", *arguments, "new_run=true"]) == 2
    output.write("run.json", json.dumps({"verb": "train"}).encode())
    assert main(["archive", *arguments, "new_run=true"]) == 2
    assert "contains a run of 'train'" in capsys.readouterr().err
    assert sorted(entry.key for entry in output.list()) == ["letters/1921.txt", "run.json"]


@pytest.mark.long
def test_one_of_three_concurrent_runs_succeeds(
    arguments: list[str], output: LocalStorage, photo_paths: list[Path], tmp_path: Path
) -> None:
    """Two runs start at once, and a third while they are active: one does everything, the others report the lock."""
    source = LocalStorage(str(tmp_path / "source"))
    for key, data in photographs(photo_paths, 120).items():
        source.write(key, data)
    slow = [*arguments, "batch_size=2", "block_size=2", "ray.num_cpus=4"]
    jobs = [start(slow), start(slow)]
    wait_for(lambda: output.exists("run.json"), "a run starts")
    jobs.append(start(slow))
    printed = [job.communicate(timeout=300)[0] for job in jobs]
    assert sorted(job.returncode for job in jobs)[0] == 0, printed
    refused = [lines for job, lines in zip(jobs, printed, strict=True) if job.returncode]
    assert len(refused) == 2, printed
    assert all("another run" in lines for lines in refused), refused
    assert len(rows_of(output)) == len(images_of(output)) == 120
    assert not output.exists("_state/lock.json")
