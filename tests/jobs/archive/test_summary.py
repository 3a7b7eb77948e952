"""What a run tells at its end."""

import csv
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from cluster.storage.stores import LocalStorage
from jobs.archive import rows
from jobs.archive.config import ArchiveConfig
from jobs.archive.pipeline import ArchiveContext
from jobs.archive.summary import FAILED_FILE, say_nothing_to_do, summarize, write_failed
from jobs.inputs.listing import Listing
from jobs.run.lock import OutputLock

ERROR = 'expected 3 lines,\ngot "two"'


def write_rows(output: LocalStorage, failed: int, succeeded: int = 3) -> Counter[str]:
    """Write the rows of a finished part; return their statuses."""
    statuses = ["truncated"] * failed + ["ok"] * succeeded
    keys = [f"{number}, Straße.jpg" for number in range(len(statuses))]
    table = pa.table({"key": keys, "status": statuses, "error": [ERROR] * failed + [""] * succeeded})
    rows.stage(output, rows.FIRST, 0, table)
    rows.merge(output, rows.FIRST, 0, pa.table({"index": range(len(keys)), "key": keys}))
    return Counter(statuses)


@pytest.fixture
def output(tmp_path: Path) -> LocalStorage:
    return LocalStorage(str(tmp_path))


def summary_of(output: LocalStorage, counts: Counter[str], listed: int | None = None) -> ArchiveContext:
    config = ArchiveConfig(source="scans", output=output.root)
    listing = Listing(listed or counts.total(), {".txt": 2}, 0, 1)
    context = ArchiveContext(config, LocalStorage("scans"), output, OutputLock(output), listing, None)
    summarize(context, counts, write_failed(output), 34.0, None)
    return context


def test_failed_csv_has_key_status_and_error_of_every_failure(output: LocalStorage) -> None:
    write_rows(output, 7)
    assert len(write_failed(output)) == 5
    with open(Path(output.root) / FAILED_FILE, encoding="utf-8", newline="") as file:
        found = list(csv.reader(file))
    assert found[0] == ["key", "status", "error"]
    assert found[1:] == [[f"{number}, Straße.jpg", "truncated", ERROR] for number in range(7)]


def test_failed_csv_is_deleted_when_nothing_fails_any_more(output: LocalStorage) -> None:
    output.write(FAILED_FILE, b"key,status,error\n")
    write_rows(output, 0)
    assert write_failed(output) == []
    assert not output.exists(FAILED_FILE)


def test_the_summary_names_the_first_failures_and_what_to_do(
    output: LocalStorage, capsys: pytest.CaptureFixture[str]
) -> None:
    summary_of(output, write_rows(output, 7))
    printed = capsys.readouterr().out
    assert printed.count("Straße.jpg: truncated, expected 3 lines, got") == 5
    assert f"and 2 more; all in {output.root}/failed.csv; the same command with retry_failed=true" in printed
    assert "excluded   2 .txt" in printed


def test_exit_code_3_is_explained(output: LocalStorage, capsys: pytest.CaptureFixture[str]) -> None:
    summary_of(output, write_rows(output, 1))
    assert "1 of 4 (25.0%), more than max_failed_fraction=0.05: exit code 3" in capsys.readouterr().out


def test_without_failures_there_is_no_advice(output: LocalStorage, capsys: pytest.CaptureFixture[str]) -> None:
    summary_of(output, write_rows(output, 0))
    printed = capsys.readouterr().out
    assert "0 of 3 (0.0%)\n" in printed
    assert "retry_failed" not in printed


def test_what_is_left_after_a_sample_is_told(output: LocalStorage, capsys: pytest.CaptureFixture[str]) -> None:
    summary_of(output, write_rows(output, 0), listed=10)
    assert "7 more" in capsys.readouterr().out


def test_nothing_to_do_is_one_line(output: LocalStorage, capsys: pytest.CaptureFixture[str]) -> None:
    say_nothing_to_do(Counter(ok=3), output)
    assert capsys.readouterr().out == f"nothing to do: 3 done; images are in {output.root}/images\n"
