import html
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cluster.storage.stores import LocalStorage, StorageOptions, open_storage
from jobs.archive import report as archive_report
from jobs.archive import rows
from jobs.archive.actor import ROW_SCHEMA
from jobs.cli import main
from jobs.run import report_files
from tests.jobs.report_runs import archive_rows, data_of, gray_source, write_archive_run

OneLine = Callable[[list[str], int], str]


@pytest.fixture
def archive_run(tmp_path: Path) -> Path:
    """A finished run of ten images, four with hostile keys, and two failures."""
    made = archive_rows(10)
    write_archive_run(LocalStorage(str(tmp_path / "run")), gray_source(tmp_path / "gray", made), made, len(made))
    return tmp_path / "run"


def test_a_page_of_an_archive_run(archive_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(archive_run)]) == 0
    page = archive_run / "report" / "index.html"
    assert str(page) in capsys.readouterr().out
    data, text = data_of(page), page.read_text()
    by_key = {row["key"]: row for row in data["rows"]}
    assert by_key.keys() == {row["key"] for row in archive_rows(10)}
    for row in data["rows"]:
        there = [row["after"], row["before"]] if row["status"] == "ok" else []
        assert all((page.parent / name).stat().st_size > 300 for name in there), row["key"]
    assert by_key["box/003.png"]["full"] == "../images/box/003.png"
    assert "Before: the photograph in the source" in text
    for fact in (
        "16",
        "14",
        "12.5%",
        "1 min 0 s",
        "2.5 images/s",
        "Not a photograph",
        "truncated",
        "not_an_image",
        "1 May 2024",
        "2000 ms",
        "80.0%",
    ):
        assert fact in text
    assert "duckdb.sql(" in text
    assert "pandas.read_parquet(" in text


def test_groups_are_a_random_sample_and_extremes_of_measures(archive_run: Path) -> None:
    assert main(["report", str(archive_run), "pictures=5"]) == 0
    data = data_of(archive_run / "report" / "index.html")
    groups = {each["title"]: [data["rows"][place] for place in each["rows"]] for each in data["groups"]}
    assert len(groups["Random sample"]) == 5
    assert [row["values"]["mean_chroma"] for row in groups["Most colorful"][:3]] == [13, 12, 11]
    assert groups["Least colorful"][0]["key"] == "box/000.png"
    assert not [title for title in groups if "lightness" in title]  # all below one step of 8 bits
    assert {row["status"] for row in groups["Failures"]} == {"truncated", "not_an_image"}
    assert len(groups["All on this page"]) == len(data["rows"]) == 16


def test_without_its_source_the_page_shows_the_lightness_and_says_so(tmp_path: Path) -> None:
    made = archive_rows(3)
    write_archive_run(LocalStorage(str(tmp_path / "run")), str(tmp_path / "gone"), made)
    assert main(["report", str(tmp_path / "run")]) == 0
    page = tmp_path / "run" / "report" / "index.html"
    assert all(row["before"] is None for row in data_of(page)["rows"])
    assert "Before: the lightness of the color image" in page.read_text()


def test_missing_and_damaged_images_do_not_stop_the_report(archive_run: Path) -> None:
    (archive_run / "images" / "box" / "000.png").unlink()
    (archive_run / "images" / "box" / "001.png").write_bytes(b"damaged")
    assert main(["report", str(archive_run)]) == 0
    by_key = {row["key"]: row for row in data_of(archive_run / "report" / "index.html")["rows"]}
    assert "cannot be read" in by_key["box/000.png"]["thumbnail_error"]
    assert "cannot be decoded" in by_key["box/001.png"]["thumbnail_error"]
    assert by_key["box/002.png"]["after"]


def test_an_unfinished_run_is_reported_as_far_as_it_is(tmp_path: Path) -> None:
    made = archive_rows(6)
    output = LocalStorage(str(tmp_path / "run"))
    write_archive_run(output, gray_source(tmp_path / "gray", made), made, 400)
    record = json.loads(output.read("run.json"))
    output.write("run.json", json.dumps({**record, "status": "running"}).encode())
    output.delete("metrics/part-00000.parquet")
    for part in (made[:7], made[5:]):  # two rows twice, as after a crash
        rows.stage(output, rows.FIRST, 0, pa.Table.from_pylist(part, ROW_SCHEMA))
    assert main(["report", output.uri]) == 0
    text = (tmp_path / "run" / "report" / "index.html").read_text()
    assert "The run is not finished: 12 of 400 inputs have a row." in text


def test_a_partial_run_is_labeled(tmp_path: Path) -> None:
    made = archive_rows(1)
    write_archive_run(LocalStorage(str(tmp_path / "run")), str(tmp_path), made, 1_000_000)
    assert main(["report", str(tmp_path / "run")]) == 0
    assert "7 of 1,000,000 inputs" in (tmp_path / "run" / "report" / "index.html").read_text()


def test_thumbnails_of_an_earlier_report_are_deleted(archive_run: Path) -> None:
    assert main(["report", str(archive_run)]) == 0
    stale = archive_run / "report" / "pictures" / "old-after.jpg"
    stale.write_bytes(b"old")
    assert main(["report", str(archive_run)]) == 0
    assert not stale.exists()
    assert len(list(stale.parent.iterdir())) == 2 * 14


def test_hostile_text_is_text_in_the_markup(archive_run: Path) -> None:
    assert main(["report", str(archive_run)]) == 0
    text = (archive_run / "report" / "index.html").read_text()
    assert len(re.findall(r"<script[ >]", text)) == 2
    assert "<img" not in text
    assert html.escape("models/</script><script>window.hacked = true</script>") in text


def test_a_run_on_s3(bucket: str, s3_endpoint: str, tmp_path: Path) -> None:
    options = StorageOptions(endpoint=s3_endpoint, region="us-east-1")
    made = archive_rows(4)
    output = open_storage(f"s3://{bucket}/runs/one", options)
    write_archive_run(output, gray_source(tmp_path / "gray", made), made)
    keys = [f"storage.endpoint={s3_endpoint}", "storage.region=us-east-1"]
    assert main(["report", output.uri, *keys]) == 0
    text = output.read("report/index.html").decode()
    assert all(output.exists(f"report/{row['after']}") for row in data_of(text)["rows"] if row["status"] == "ok")
    assert "pyarrow.fs.S3FileSystem" in text


@pytest.mark.slow
def test_a_million_rows_make_a_small_page_quickly(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    output = LocalStorage(str(tmp_path / "run"))
    write_archive_run(output, str(tmp_path), archive_rows(0), 1_000_000)
    for part in range(2):
        keys = pd.Series([f"box {number % 977}/{part}-{number:06d}.jpg" for number in range(500_000)])
        ok = random.random(500_000) > 0.01
        frame = pd.DataFrame({"key": keys, "status": np.where(ok, "ok", "truncated"), "output_key": keys.where(ok)})
        for name in ("mean_chroma", "gamut_clipped", "max_lightness_error"):
            frame[name] = np.where(ok, random.random(500_000), np.nan)
        table = pa.Table.from_pandas(frame, preserve_index=False)
        filled = [
            table.column(field.name).cast(field.type) if field.name in frame else pa.nulls(500_000, field.type)
            for field in ROW_SCHEMA
        ]
        output.write(f"metrics/part-{part:05d}.parquet", rows.parquet_bytes(pa.table(filled, ROW_SCHEMA)))
    start = time.monotonic()
    assert main(["report", output.uri]) == 0
    assert time.monotonic() - start < 60
    page = tmp_path / "run" / "report" / "index.html"
    assert page.stat().st_size < 1_000_000
    assert "1,000,000" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no run given"),
        (["/nowhere"], "/nowhere: not an output of archive or evaluate: found no run"),
        (["--ratings", "/nowhere/ratings.json"], "/nowhere/ratings.json: cannot be read"),
        (["run=[a, b]", "ratings=x"], "ratings belong to one evaluation"),
        (["picture=3", "x"], "did you mean pictures?"),
        (["s3://"], "bucket"),
    ],
)
def test_usage_errors_are_one_line(one_line: OneLine, arguments: list[str], message: str) -> None:
    assert message in one_line(["report", *arguments], 2)


def test_outputs_of_other_verbs_and_ratings_of_an_archive_are_refused(
    one_line: OneLine, tmp_path: Path, archive_run: Path
) -> None:
    (tmp_path / "run.json").write_text('{"verb": "recipe"}')
    assert "the output of 'recipe'; give its subfolder evaluation/" in one_line(["report", str(tmp_path)], 2)
    (tmp_path / "ratings.json").write_text("{}")
    line = one_line(["report", str(archive_run), "--ratings", str(tmp_path / "ratings.json")], 2)
    assert "an archive run has no ratings" in line


def test_a_file_without_ratings_is_one_line(one_line: OneLine, tmp_path: Path) -> None:
    (tmp_path / "ratings.json").write_text("[]")
    assert "not a ratings file" in one_line(["report", "--ratings", str(tmp_path / "ratings.json")], 2)


def test_a_dry_run_writes_nothing(archive_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(archive_run), "--dry-run"]) == 0
    assert "report would write" in capsys.readouterr().out
    assert not (archive_run / "report").exists()


def test_a_report_that_fails_at_the_end_of_a_run_is_one_line(
    archive_run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError("No space left\non device")

    monkeypatch.setattr(archive_report, "write_page", full_disk)
    output = LocalStorage(str(archive_run))
    made = report_files.report_at_end(
        "archive", output, lambda: archive_report.write_archive_report(output, LocalStorage("/nowhere"))
    )
    assert made is None
    (line,) = caplog.messages
    assert "OSError: No space left" in line
    assert f"`colorize report {archive_run}`" in line
    assert "\n" not in line
