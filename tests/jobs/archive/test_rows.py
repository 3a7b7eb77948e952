"""Rows of an archive run: staging, merging, counting."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from cluster.storage.stores import LocalStorage, Storage, StorageOptions, open_storage
from jobs.archive import rows

INPUTS = pa.table({"index": [10, 11, 12, 13], "key": ["d", "a", "c", "b"]})


@pytest.fixture(params=["local", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return LocalStorage(str(tmp_path))
    endpoint, bucket = request.getfixturevalue("s3_endpoint"), request.getfixturevalue("bucket")
    return open_storage(f"s3://{bucket}/out", StorageOptions(endpoint=endpoint))


def table(**statuses: str) -> pa.Table:
    return pa.table({"key": list(statuses), "status": list(statuses.values())})


def as_dict(found: pa.Table | None) -> dict[str, str]:
    assert found is not None
    return dict(zip(found.column("key").to_pylist(), found.column("status").to_pylist(), strict=True))


def test_merged_rows_are_in_the_order_of_the_manifest(output: Storage) -> None:
    rows.stage(output, rows.FIRST, 3, table(a="ok", b="empty"))
    rows.stage(output, rows.FIRST, 3, table(c="ok", d="ok"))
    found = rows.merge(output, rows.FIRST, 3, INPUTS)
    assert list(as_dict(found)) == ["d", "a", "c", "b"]
    assert as_dict(rows.read_merged(output, 3)) == as_dict(found)


def test_rows_that_were_staged_twice_are_merged_once_and_success_wins(output: Storage) -> None:
    for status in ("read_error", "ok", "read_error"):
        rows.stage(output, rows.FIRST, 0, table(a=status, b="empty"))
    assert as_dict(rows.merge(output, rows.FIRST, 0, INPUTS)) == {"a": "ok", "b": "empty"}


def test_a_retried_row_replaces_the_old_one_in_any_case(output: Storage) -> None:
    rows.stage(output, rows.FIRST, 0, table(a="read_error", b="ok", c="missing"))
    rows.merge(output, rows.FIRST, 0, INPUTS)
    rows.stage(output, rows.RETRIED, 0, table(a="truncated", c="ok"))
    assert as_dict(rows.merge(output, rows.RETRIED, 0, INPUTS)) == {"a": "truncated", "c": "ok", "b": "ok"}


def test_columns_that_an_earlier_version_did_not_write_are_null(output: Storage) -> None:
    rows.stage(output, rows.FIRST, 0, table(a="read_error", b="ok"))
    rows.merge(output, rows.FIRST, 0, INPUTS)
    rows.stage(output, rows.RETRIED, 0, table(a="ok").append_column("disagreement", pa.array([2.5])))
    merged = rows.merge(output, rows.RETRIED, 0, INPUTS)
    assert merged is not None
    assert merged.column("disagreement").to_pylist() == [2.5, None]


def test_merging_deletes_staged_rows_and_can_be_repeated(output: Storage) -> None:
    rows.stage(output, rows.FIRST, 0, table(a="ok"))
    first = rows.merge(output, rows.FIRST, 0, INPUTS)
    assert rows.read_staged(output, rows.FIRST, 0) is None
    assert rows.merge(output, rows.FIRST, 0, INPUTS) is None
    assert as_dict(rows.read_merged(output, 0)) == as_dict(first)


def test_a_crash_between_merging_and_deleting_does_no_harm(output: Storage) -> None:
    rows.stage(output, rows.FIRST, 0, table(a="ok", b="empty"))
    left = rows.read_staged(output, rows.FIRST, 0)
    first = rows.merge(output, rows.FIRST, 0, INPUTS)
    assert left is not None
    rows.stage(output, rows.FIRST, 0, left)
    assert as_dict(rows.merge(output, rows.FIRST, 0, INPUTS)) == as_dict(first)


def test_without_staged_rows_nothing_is_merged(output: Storage) -> None:
    assert rows.merge(output, rows.FIRST, 0, INPUTS) is None
    assert rows.read_merged(output, 0) is None


def test_parts_and_folders_are_separate(output: Storage) -> None:
    rows.stage(output, rows.FIRST, 0, table(a="ok"))
    rows.stage(output, rows.FIRST, 1, table(b="ok"))
    rows.stage(output, rows.RETRIED, 0, table(c="ok"))
    assert as_dict(rows.read_staged(output, rows.FIRST, 0)) == {"a": "ok"}


def test_inputs_without_a_row_are_left() -> None:
    left = rows.without(INPUTS, table(a="ok"), None, table(d="empty"))
    assert left.column("key").to_pylist() == ["c", "b"]


def test_failed_inputs_are_found_by_status() -> None:
    done = table(a="ok", b="empty", c="read_error", d="skipped_color")
    assert rows.with_status(INPUTS, done, ("empty", "read_error")).column("key").to_pylist() == ["c", "b"]


def test_rows_of_all_parts_are_counted(output: Storage) -> None:
    for part in range(2):
        rows.stage(output, rows.FIRST, part, table(a="ok", b="empty"))
        rows.merge(output, rows.FIRST, part, INPUTS)
    assert rows.count_rows(output) == 4
    assert sum(map(rows.count_statuses, rows.read_rows(output)), Counter()) == {"ok": 2, "empty": 2}


class WholeReadsFail(LocalStorage):
    """Storage that refuses to read a file as a whole."""

    def child(self, key: str) -> "WholeReadsFail":
        return WholeReadsFail(self.path(key))

    def read(self, key: str) -> bytes:
        raise AssertionError(f"{key}: read as a whole")


def test_counts_and_single_columns_do_not_read_whole_files(tmp_path: Path) -> None:
    rows.stage(LocalStorage(str(tmp_path)), rows.FIRST, 0, table(a="ok", b="empty", c="missing"))
    rows.merge(LocalStorage(str(tmp_path)), rows.FIRST, 0, INPUTS)
    output = WholeReadsFail(str(tmp_path))
    assert rows.count_rows(output) == 3
    keys = rows.read_merged(output, 0, ["key"])
    assert keys is not None
    assert keys.column_names == ["key"]


def test_without_staged_rows_merging_does_not_read_the_merged_ones(tmp_path: Path) -> None:
    rows.stage(LocalStorage(str(tmp_path)), rows.FIRST, 0, table(a="ok"))
    rows.merge(LocalStorage(str(tmp_path)), rows.FIRST, 0, INPUTS)
    assert rows.merge(WholeReadsFail(str(tmp_path)), rows.FIRST, 0, INPUTS) is None
