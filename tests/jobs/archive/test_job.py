import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.color import rgb2lab

from cluster.storage.stores import StorageOptions, open_storage
from colorize_core.runtime.stage_timer import STAGES
from jobs.archive import rows as archive_rows
from jobs.archive.job import draw
from jobs.cli import main
from tests.jobs.report_runs import data_of


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, format, **options)
    return sink.getvalue()


@pytest.fixture(scope="module")
def hard_archive(tmp_path_factory: pytest.TempPathFactory, photo_paths: list[Path]) -> Path:
    """Photographs as archives have them: many formats, some broken."""
    folder = tmp_path_factory.mktemp("hard")
    photo = Image.open(photo_paths[0])
    gray = photo.convert("L")
    good = photo_paths[1].read_bytes()
    ramp = (np.arange(64 * 96).reshape(64, 96) * 10).astype(np.uint16)
    files = {
        "gray.jpg": encoded(gray, "JPEG"),
        "deep/er/wide.png": encoded(gray.resize((97, 61)), "PNG"),
        "in color.jpg": good,
        "truncated.jpg": good[: len(good) // 2],
        "empty.jpg": b"",
        "text.jpg": b"this is no photograph",
        "palette.gif": encoded(photo.convert("P"), "GIF"),
        "gray-alpha.png": encoded(Image.merge("LA", (gray, gray)), "PNG"),
        "sixteen.png": encoded(Image.fromarray(ramp), "PNG"),
        "cmyk.jpg": encoded(photo.convert("CMYK"), "JPEG"),
        "notes.txt": b"not listed",
    }
    for key, data in files.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def colorized(
    hard_archive: Path, tiny_checkpoint: str, ray_local: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    output = tmp_path_factory.mktemp("colorized") / "out"
    arguments = [f"source={hard_archive}", f"output={output}", f"checkpoint={tiny_checkpoint}"]
    assert main(["archive", *arguments, "max_failed_fraction=0.3"]) == 0
    return output


@pytest.fixture(scope="module")
def rows(colorized: Path) -> pd.DataFrame:
    return pd.read_parquet(colorized / "metrics").set_index("key")


def test_every_input_has_exactly_one_row(rows: pd.DataFrame) -> None:
    assert sorted(rows.index) == [
        "cmyk.jpg",
        "deep/er/wide.png",
        "empty.jpg",
        "gray-alpha.png",
        "gray.jpg",
        "in color.jpg",
        "palette.gif",
        "sixteen.png",
        "text.jpg",
        "truncated.jpg",
    ]


def test_statuses_say_what_is_broken(rows: pd.DataFrame) -> None:
    broken = rows[rows.status != "ok"]
    assert broken.status.to_dict() == {"empty.jpg": "empty", "text.jpg": "not_an_image", "truncated.jpg": "truncated"}
    assert (broken.error != "").all()
    assert broken.output_key.isna().all()


def test_good_inputs_have_their_picture_at_the_mirrored_key_and_size(
    rows: pd.DataFrame, colorized: Path, hard_archive: Path
) -> None:
    good = rows[rows.status == "ok"]
    for key, row in good.iterrows():
        expected = "palette.gif.color.png" if key == "palette.gif" else key
        assert row.output_key == expected
        picture = Image.open(colorized / "images" / row.output_key)
        assert picture.size == Image.open(hard_archive / str(key)).size == (row.width, row.height)
        assert row.output_bytes == (colorized / "images" / row.output_key).stat().st_size
    written = [path for path in (colorized / "images").rglob("*") if path.is_file()]
    assert len(written) == len(good)


def test_lightness_is_the_photographs_own(colorized: Path, hard_archive: Path) -> None:
    before = rgb2lab(np.asarray(Image.open(hard_archive / "deep/er/wide.png").convert("RGB")))[..., 0]
    after = rgb2lab(np.asarray(Image.open(colorized / "images" / "deep/er/wide.png")))[..., 0]
    assert (np.abs(after - before) <= 100 / 255).mean() >= 0.999


def test_the_run_ends_with_a_page_of_every_row(colorized: Path, rows: pd.DataFrame) -> None:
    data = data_of(colorized / "report" / "index.html")
    assert {row["key"] for row in data["rows"]} == set(rows.index)
    for row in data["rows"]:
        assert (row["status"] == "ok") == bool(row["after"]) == bool(row["before"])
        if row["after"]:
            assert (colorized / "report" / row["after"]).stat().st_size > 0
    assert rows.is_color["in color.jpg"]
    record = json.loads((colorized / "run.json").read_text())
    assert record["worked"] == len(rows)
    assert tuple(record["stages"]) == STAGES
    assert all(0 <= seconds < record["seconds"] for seconds in record["stages"].values())


def test_a_page_can_be_left_out(hard_archive: Path, tiny_checkpoint: str, ray_local: None, tmp_path: Path) -> None:
    arguments = [f"source={hard_archive}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}", "limit=1"]
    assert main(["archive", *arguments, "report=false"]) == 0
    assert not (tmp_path / "out" / "report").exists()


def test_a_page_that_fails_costs_the_run_nothing(
    hard_archive: Path, tiny_checkpoint: str, ray_local: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file lies where the page's folder should be."""
    arguments = [f"source={hard_archive}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}", "limit=1"]
    assert main(["archive", *arguments, "report=false"]) == 0
    (tmp_path / "out" / "report").write_text("in the way")
    capsys.readouterr()
    assert main(["archive", *arguments[:-1], "limit=2", "max_failed_fraction=1"]) == 0
    said = capsys.readouterr().out
    assert "archive: no report was written (" in said
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "done"
    assert len(pd.read_parquet(tmp_path / "out" / "metrics")) == 2


def test_alpha_is_kept(colorized: Path, hard_archive: Path) -> None:
    before = Image.open(hard_archive / "gray-alpha.png").getchannel("A")
    after = Image.open(colorized / "images" / "gray-alpha.png").getchannel("A")
    assert before.tobytes() == after.tobytes()


def test_sixteen_bits_are_scaled_not_clipped(rows: pd.DataFrame, colorized: Path, hard_archive: Path) -> None:
    before = np.asarray(Image.open(hard_archive / "sixteen.png")) / 65535
    after = rgb2lab(np.asarray(Image.open(colorized / "images" / "sixteen.png")))[..., 0]
    expected = rgb2lab(np.repeat(before[..., None], 3, axis=2))[..., 0]
    assert np.abs(after - expected).max() < 1.0  # 8-bit output
    assert rows.bit_depth["sixteen.png"] == 16


def test_only_inputs_in_color_have_reference_metrics(rows: pd.DataFrame) -> None:
    good = rows[rows.status == "ok"]
    in_color = good[good.is_color.astype(bool)]
    assert {"in color.jpg", "palette.gif", "cmyk.jpg"} <= set(in_color.index)
    assert in_color[["mae_ab", "psnr", "ssim"]].notna().all(axis=None)
    assert good[~good.is_color.astype(bool)][["mae_ab", "psnr", "ssim"]].isna().all(axis=None)


def test_run_json_holds_config_versions_checkpoint_and_counts(colorized: Path) -> None:
    record = json.loads((colorized / "run.json").read_text())
    assert record["status"] == "done"
    assert record["counts"] == {"ok": 7, "empty": 1, "not_an_image": 1, "truncated": 1}
    assert record["ignored"] == 1
    assert len(record["inputs"]["checkpoint"]) == 64
    assert record["config"]["format"] == "same"
    assert record["versions"]["ray"]


def test_the_same_command_again_does_nothing_twice(
    colorized: Path, hard_archive: Path, tiny_checkpoint: str, ray_local: None
) -> None:
    picture = colorized / "images" / "gray.jpg"
    before = picture.stat().st_mtime_ns
    arguments = [f"source={hard_archive}", f"output={colorized}", f"checkpoint={tiny_checkpoint}"]
    assert main(["archive", *arguments, "max_failed_fraction=0.3"]) == 0
    assert picture.stat().st_mtime_ns == before
    assert len(pd.read_parquet(colorized / "metrics")) == 10


def test_more_failures_than_allowed_is_exit_code_3(
    colorized: Path, hard_archive: Path, tiny_checkpoint: str, ray_local: None
) -> None:
    arguments = [f"source={hard_archive}", f"output={colorized}", f"checkpoint={tiny_checkpoint}"]
    assert main(["archive", *arguments, "max_failed_fraction=0.1"]) == 3


def test_another_configuration_is_refused_with_the_difference(
    colorized: Path, hard_archive: Path, tiny_checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"source={hard_archive}", f"output={colorized}", f"checkpoint={tiny_checkpoint}"]
    assert main(["archive", *arguments, "format=png"]) == 2
    assert '(format "same" -> "png")' in capsys.readouterr().err


def test_a_limit_can_be_lifted(
    hard_archive: Path, tiny_checkpoint: str, ray_local: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"source={hard_archive}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}"]
    main(["archive", *arguments, "limit=3", "max_failed_fraction=1"])
    first = set(pd.read_parquet(tmp_path / "out" / "metrics").key)
    main(["archive", *arguments, "max_failed_fraction=1"])
    keys = pd.read_parquet(tmp_path / "out" / "metrics").key
    assert len(first) == 3
    assert len(keys) == keys.nunique() == 10


def test_a_sample_is_part_of_a_larger_one() -> None:
    assert len(draw(1000, 10)) == 10
    assert draw(1000, 10) < draw(1000, 100) < draw(1000, 999) < draw(1000, 5000) == set(range(1000))


def test_a_sample_is_colored_and_can_be_raised(
    hard_archive: Path, tiny_checkpoint: str, ray_local: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"source={hard_archive}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}"]
    assert main(["archive", *arguments, "sample=4", "max_failed_fraction=1"]) == 0
    assert "6 more" in capsys.readouterr().out
    first = set(pd.read_parquet(tmp_path / "out" / "metrics").key)
    assert main(["archive", *arguments, "sample=6", "max_failed_fraction=1"]) == 0
    assert len(first) == 4
    assert first < set(pd.read_parquet(tmp_path / "out" / "metrics").key)


def test_a_dry_run_estimates_and_writes_nothing(
    hard_archive: Path, tiny_checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"source={hard_archive}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}"]
    assert main(["archive", *arguments, "actors.count=3", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "would color 10 of the 10 photographs" in said
    assert "on 3 actors" in said
    assert "8 photographs tried on this machine" in said
    assert not (tmp_path / "out").exists()


def test_failed_inputs_are_tried_again_and_their_new_rows_replace_the_old(
    hard_archive: Path, tiny_checkpoint: str, ray_local: None, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("gray.jpg", "truncated.jpg", "empty.jpg", "text.jpg"):
        (source / name).write_bytes((hard_archive / name).read_bytes())
    arguments = [f"source={source}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}"]
    assert main(["archive", *arguments]) == 3
    whole = (source / "gray.jpg").read_bytes()
    (source / "truncated.jpg").write_bytes(whole)  # the archivist found better copies
    (source / "empty.jpg").write_bytes(whole)
    good = (tmp_path / "out/images/gray.jpg").stat().st_mtime_ns

    assert main(["archive", *arguments, "retry_failed=[truncated]"]) == 3
    rows = pd.read_parquet(tmp_path / "out" / "metrics").set_index("key")
    assert rows.status.to_dict() == {
        "empty.jpg": "empty",
        "gray.jpg": "ok",
        "text.jpg": "not_an_image",
        "truncated.jpg": "ok",
    }
    assert main(["archive", *arguments, "retry_failed=true", "max_failed_fraction=0.3"]) == 0
    rows = pd.read_parquet(tmp_path / "out" / "metrics").set_index("key")
    assert rows.status.value_counts().to_dict() == {"ok": 3, "not_an_image": 1}
    assert (tmp_path / "out/images/empty.jpg").exists()
    assert (tmp_path / "out/images/gray.jpg").stat().st_mtime_ns == good
    assert not list((tmp_path / "out" / "_state" / "retried").rglob("*.parquet"))


def test_a_new_run_replaces_the_old_when_told_so(
    hard_archive: Path, tiny_checkpoint: str, ray_local: None, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.jpg").write_bytes((hard_archive / "gray.jpg").read_bytes())
    arguments = [f"source={source}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}"]
    assert main(["archive", *arguments]) == 0
    (source / "b.jpg").write_bytes((hard_archive / "gray.jpg").read_bytes())
    assert main(["archive", *arguments, "format=png"]) == 2
    assert main(["archive", *arguments, "format=png", "new_run=true"]) == 0
    rows = pd.read_parquet(tmp_path / "out" / "metrics")
    assert sorted(rows.output_key) == ["a.jpg.color.png", "b.jpg.color.png"]


def test_only_chosen_inputs_are_listed(
    hard_archive: Path, tiny_checkpoint: str, ray_local: None, tmp_path: Path
) -> None:
    arguments = [f"source={hard_archive}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}"]
    chosen = ["listing.extensions=[.png]", "listing.exclude=['deep/*']"]
    assert main(["archive", *arguments, *chosen]) == 0
    assert sorted(pd.read_parquet(tmp_path / "out" / "metrics").key) == ["gray-alpha.png", "sixteen.png"]


def test_a_stalled_run_ends_with_a_line(
    hard_archive: Path,
    tiny_checkpoint: str,
    ray_local: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A fetch that never comes back."""
    from jobs.archive import tasks as archive_stages

    end = tmp_path / "end"

    def hang(batch: object, **_: object) -> None:
        while not end.exists():
            time.sleep(0.1)

    monkeypatch.setattr(archive_stages, "fetch", hang)
    arguments = [f"source={hard_archive}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}"]
    assert main(["archive", *arguments, "stall_seconds=10"]) == 1
    end.touch()  # else it would keep a CPU of the session
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "nothing has moved for 10 s" in lines[0]
    assert not (tmp_path / "out" / "_state" / "lock.json").exists()


@pytest.mark.parametrize(("policy", "pictures"), [("skip", {"gray.jpg"}), ("copy", {"gray.jpg", "in color.jpg"})])
def test_inputs_in_color_can_be_left_alone(
    hard_archive: Path, tiny_checkpoint: str, ray_local: None, tmp_path: Path, policy: str, pictures: set[str]
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("gray.jpg", "in color.jpg"):
        (source / name).write_bytes((hard_archive / name).read_bytes())
    arguments = [f"source={source}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}", f"on_color={policy}"]
    assert main(["archive", *arguments]) == 0
    written = {path.name for path in (tmp_path / "out" / "images").iterdir()}
    assert written == pictures
    rows = pd.read_parquet(tmp_path / "out" / "metrics").set_index("key")
    assert rows.status["in color.jpg"] == "skipped_color"
    if policy == "copy":
        copy = tmp_path / "out" / "images" / "in color.jpg"
        assert copy.read_bytes() == (source / "in color.jpg").read_bytes()


def test_from_s3_to_s3(
    s3_endpoint: str, bucket: str, hard_archive: Path, tiny_checkpoint: str, ray_local: None
) -> None:
    options = StorageOptions(endpoint=s3_endpoint)
    source = open_storage(f"s3://{bucket}/gray", options)
    for path in hard_archive.rglob("*.*"):
        source.write(path.relative_to(hard_archive).as_posix(), path.read_bytes())
    checkpoint = open_storage(f"s3://{bucket}/model", options)
    for path in Path(tiny_checkpoint).iterdir():
        checkpoint.write(path.name, path.read_bytes())
    output = open_storage(f"s3://{bucket}/color", options)
    arguments = [f"source={source.uri}", f"output={output.uri}", f"checkpoint={checkpoint.uri}"]
    assert main(["archive", *arguments, f"storage.endpoint={s3_endpoint}", "max_failed_fraction=0.3"]) == 0
    assert sum(map(len, archive_rows.read_rows(output))) == 10
    images = {entry.key for entry in output.child("images").list()}
    assert len(images) == 7
    assert Image.open(io.BytesIO(output.child("images").read("gray.jpg"))).mode == "RGB"


def staged_count(output: Path) -> int:
    """Rows that a run at work on its first part has made safe."""
    staged = archive_rows.staged(open_storage(str(output), StorageOptions()), archive_rows.FIRST, 0)
    return 0 if staged is None else len(staged)


@pytest.mark.long
def test_a_killed_run_is_continued_without_loss_or_repetition(
    tiny_checkpoint: str, photo_paths: list[Path], tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(240):
        (source / f"{number:04d}.jpg").write_bytes(photo_paths[number % len(photo_paths)].read_bytes())
    output = tmp_path / "out"
    command = [sys.executable, "-m", "jobs.archive", f"source={source}", f"output={output}"]
    command += [f"checkpoint={tiny_checkpoint}", "block_size=16", "batch_size=8", "ray.num_cpus=4"]
    victim = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while staged_count(output) < 48:
        assert time.monotonic() < deadline
        assert victim.poll() is None, "the job ended before it could be killed"
        time.sleep(0.2)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=240)
    keys = pd.read_parquet(output / "metrics").key
    assert len(keys) == keys.nunique() == 240
    assert len(list((output / "images").iterdir())) == 240
