"""What is left to do, from rows alone."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from cluster.storage.stores import LocalStorage, StorageOptions
from jobs.archive import rows
from jobs.archive.config import ArchiveConfig
from jobs.archive.pipeline import ArchiveContext
from jobs.archive.work import survey
from jobs.inputs.listing import ListingOptions, read_part, write_manifest
from jobs.run.lock import OutputLock


@pytest.fixture
def output(tmp_path: Path) -> LocalStorage:
    return LocalStorage(str(tmp_path / "out"))


@pytest.fixture
def context(tmp_path: Path, output: LocalStorage) -> ArchiveContext:
    """A run over five photographs, a.jpg to e.jpg."""
    source = LocalStorage(str(tmp_path / "source"))
    for letter in "abcde":
        source.write(f"{letter}.jpg", b"x")
    listing = write_manifest(source, output, (".jpg",), ListingOptions(), StorageOptions())
    config = ArchiveConfig(source=source.root, output=output.root)
    return ArchiveContext(config, source, output, OutputLock(output), listing, None)


def configure(context: ArchiveContext, **changes: object) -> ArchiveContext:
    context.config = context.config.model_copy(update=changes)
    return context


def stage(output: LocalStorage, folder: str = rows.FIRST, **statuses: str) -> None:
    keys = [f"{letter}.jpg" for letter in statuses]
    rows.stage(output, folder, 0, pa.table({"key": keys, "status": list(statuses.values())}))


def merge(context: ArchiveContext) -> None:
    rows.merge(context.output, rows.FIRST, 0, read_part(context.output, 0))


def test_of_a_new_run_everything_is_left(context: ArchiveContext) -> None:
    found = survey(context)
    assert (found.done, found.todo, found.is_merged) == (0, 5, True)


def test_staged_rows_are_done_but_not_merged(context: ArchiveContext, output: LocalStorage) -> None:
    stage(output, a="ok", b="empty")
    stage(output, a="ok")  # colorized twice, after a crash
    found = survey(context)
    assert (found.done, found.todo, found.is_merged) == (2, 3, False)
    assert found.counts == Counter(ok=1, empty=1)


def test_merged_rows_are_done(context: ArchiveContext, output: LocalStorage) -> None:
    stage(output, a="ok", b="empty")
    merge(context)
    found = survey(context)
    assert (found.done, found.todo, found.is_merged) == (2, 3, True)


def test_rows_that_were_merged_and_not_deleted_are_counted_once(context: ArchiveContext, output: LocalStorage) -> None:
    stage(output, a="ok")
    merge(context)
    stage(output, a="ok")
    found = survey(context)
    assert (found.counts, found.is_merged) == (Counter(ok=1), False)


@pytest.mark.parametrize(("change", "todo"), [({"limit": 2}, 1), ({"sample": 5}, 4), ({"limit": 1}, 0)])
def test_only_selected_inputs_are_left(
    context: ArchiveContext, output: LocalStorage, change: dict[str, int], todo: int
) -> None:
    stage(output, a="ok")
    merge(context)
    assert survey(configure(context, **change)).todo == todo


def test_failed_inputs_are_left_where_they_are_retried(context: ArchiveContext, output: LocalStorage) -> None:
    stage(output, a="ok", b="empty", c="truncated", d="ok", e="ok")
    merge(context)
    assert survey(context).todo == 0
    assert survey(configure(context, retry_failed=["empty"])).retried == 1
    found = survey(configure(context, retry_failed=True))
    assert (found.done, found.first, found.retried) == (3, 0, 2)


def test_a_retry_that_is_staged_is_not_repeated(context: ArchiveContext, output: LocalStorage) -> None:
    stage(output, a="ok", b="empty", c="ok", d="ok", e="ok")
    merge(context)
    stage(output, rows.RETRIED, b="ok")
    found = survey(configure(context, retry_failed=True))
    assert (found.todo, found.is_merged) == (0, False)
