import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import c2pa
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from skimage.color import rgb2lab

from cluster.errors import ClusterError
from cluster.storage.stores import StorageOptions, open_storage
from colorize_core.checkpoint.weights import save_checkpoint
from colorize_core.models import build_model
from colorize_core.provenance import xmp
from colorize_core.runtime.stage_timer import STAGES
from colorize_core.status import FAILURES
from jobs.archive import job, tasks, work
from jobs.archive import rows as archive_rows
from jobs.archive.config import ArchiveConfig
from jobs.archive.work import draw, input_filter
from jobs.cli import main
from tests.certificates import make_certificates
from tests.jobs.report_runs import data_of

DC = "http://purl.org/dc/elements/1.1/"


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, format, **options)
    return sink.getvalue()


@pytest.fixture(scope="module")
def hard_archive(tmp_path_factory: pytest.TempPathFactory, photo_paths: list[Path]) -> Path:
    """Photographs in many formats, some of the files broken."""
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
        "text.jpg": b"this is not a photograph",
        "palette.gif": encoded(photo.convert("P"), "GIF"),
        "gray-alpha.png": encoded(Image.merge("LA", (gray, gray)), "PNG"),
        "sixteen.png": encoded(Image.fromarray(ramp), "PNG"),
        "cmyk.jpg": encoded(photo.convert("CMYK"), "JPEG"),
        "notes.txt": b"not listed",
        "gray.xmp": xmp.rewrite(None, add={(DC, "dc", "source"): "plate 17"}),
    }
    for key, data in files.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def colorized(
    hard_archive: Path, tiny_checkpoint: str, ray_local: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Colorized with content credentials, and the metadata of sidecars."""
    output = tmp_path_factory.mktemp("colorized") / "Köln 写真 📷"
    signed = make_certificates(tmp_path_factory.mktemp("certificates")).option
    arguments = [f"source={hard_archive}", f"output={output}", f"checkpoint={tiny_checkpoint}", signed]
    assert main(["archive", *arguments, "xmp_sidecars=true", "max_failed_fraction=0.3"]) == 0
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


def test_broken_inputs_have_a_failure_status(rows: pd.DataFrame) -> None:
    broken = rows[rows.status != "ok"]
    assert broken.status.to_dict() == {"empty.jpg": "empty", "text.jpg": "not_an_image", "truncated.jpg": "truncated"}
    assert (broken.error != "").all()
    assert broken.output_key.isna().all()


def test_color_images_have_the_mirrored_key_and_the_size_of_their_input(
    rows: pd.DataFrame, colorized: Path, hard_archive: Path
) -> None:
    good = rows[rows.status == "ok"]
    for key, row in good.iterrows():
        expected = "palette.gif.color.png" if key == "palette.gif" else key
        assert row.output_key == expected
        image = Image.open(colorized / "images" / row.output_key)
        assert image.size == Image.open(hard_archive / str(key)).size == (row.width, row.height)
        assert row.output_bytes == (colorized / "images" / row.output_key).stat().st_size
    written = [path for path in (colorized / "images").rglob("*") if path.is_file()]
    assert len(written) == len(good)


def test_the_lightness_of_the_photograph_is_kept(colorized: Path, hard_archive: Path) -> None:
    before = rgb2lab(np.asarray(Image.open(hard_archive / "deep/er/wide.png").convert("RGB")))[..., 0]
    after = rgb2lab(np.asarray(Image.open(colorized / "images" / "deep/er/wide.png")))[..., 0]
    assert (np.abs(after - before) <= 100 / 255).mean() >= 0.999


def test_the_report_has_every_row(colorized: Path, rows: pd.DataFrame) -> None:
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


def test_every_image_is_signed(rows: pd.DataFrame, colorized: Path, hard_archive: Path) -> None:
    for key, row in rows[rows.status == "ok"].iterrows():
        image = colorized / "images" / row.output_key
        found = json.loads(c2pa.Reader(str(image)).json())
        assert found["validation_state"] == "Valid"
        manifest = found["manifests"][found["active_manifest"]]
        assert manifest["ingredients"][0]["title"] == key
        source = hashlib.sha256((hard_archive / str(key)).read_bytes()).hexdigest()
        assert manifest["assertions"][0]["data"]["actions"][1]["parameters"]["colorize.source_sha256"] == source
        assert image.stat().st_size == row.output_bytes


def test_the_properties_of_a_sidecar_are_in_the_image(colorized: Path) -> None:
    packet = Image.open(colorized / "images" / "gray.jpg").info["xmp"]
    assert xmp.read_property(packet, (DC, "source")) == "plate 17"


def test_only_inputs_in_color_have_reference_scores(rows: pd.DataFrame) -> None:
    good = rows[rows.status == "ok"]
    in_color = good[good.is_color.astype(bool)]
    assert {"in color.jpg", "palette.gif", "cmyk.jpg"} <= set(in_color.index)
    assert in_color[["mae_ab", "psnr", "ssim"]].notna().all(axis=None)
    assert good[~good.is_color.astype(bool)][["mae_ab", "psnr", "ssim"]].isna().all(axis=None)


def test_an_ensemble_colors_an_archive_and_its_disagreement_is_a_group(
    tiny_checkpoint: str, ray_local: None, photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    save_checkpoint(tmp_path / "other", build_model("encoder_decoder", widths=[8, 8], latent=8), 64)
    members = f"checkpoint={{calm: {tiny_checkpoint}, bold: {tmp_path}/other}}"
    arguments = [f"source={photo_folder}", f"output={output}", members, "ensemble={calm: calm, limit: 8}", "limit=5"]
    assert main(["archive", *arguments]) == 0
    rows = pd.read_parquet(output / "metrics")
    assert (rows.status == "ok").all()
    assert (rows.disagreement > 0).all()
    record = json.loads((output / "run.json").read_text())
    assert record["inputs"].keys() == {"checkpoint.calm", "checkpoint.bold"}
    data = data_of(output / "report" / "index.html")
    (group,) = (group for group in data["groups"] if group["id"] == "disagreement-high")
    shown = [data["rows"][index]["key"] for index in group["rows"]]
    assert shown == rows.sort_values("disagreement", ascending=False).key.tolist()
    assert main(["archive", *arguments[:3], "ensemble={calm: calm, limit: 9}", "limit=5"]) == 2
    assert "ensemble.limit 8.0 -> 9.0" in capsys.readouterr().err


def test_run_json_holds_config_versions_checkpoint_and_counts(colorized: Path) -> None:
    record = json.loads((colorized / "run.json").read_text())
    assert record["status"] == "done"
    assert record["counts"] == {"ok": 7, "empty": 1, "not_an_image": 1, "truncated": 1}
    assert record["excluded"] == {".txt": 1, ".xmp": 1}
    assert len(record["inputs"]["checkpoint"]) == 64
    assert record["config"]["format"] == "same"
    assert record["versions"]["ray"]


def test_a_finished_run_has_nothing_to_do_and_does_not_start_ray(
    colorized: Path,
    hard_archive: Path,
    tiny_checkpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(job, "ray_session", lambda *_, **__: pytest.fail("Ray was started"))
    files = {path: path.stat().st_mtime_ns for path in colorized.rglob("*") if path.is_file()}
    arguments = [f"source={hard_archive}", f"output={colorized}", f"checkpoint={tiny_checkpoint}", "xmp_sidecars=true"]
    assert main(["archive", *arguments, "max_failed_fraction=0.3"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("nothing to do: 7 done, 3 failed (the same command with retry_failed=true")
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_more_failures_than_allowed_is_exit_code_3(colorized: Path, hard_archive: Path, tiny_checkpoint: str) -> None:
    arguments = [f"source={hard_archive}", f"output={colorized}", f"checkpoint={tiny_checkpoint}", "xmp_sidecars=true"]
    assert main(["archive", *arguments, "max_failed_fraction=0.1"]) == 3


def test_failed_csv_names_every_failure(colorized: Path, rows: pd.DataFrame) -> None:
    failed = pd.read_csv(colorized / "failed.csv", index_col="key", keep_default_na=False)
    expected = rows[rows.status.isin(FAILURES)][["status", "error"]]
    pd.testing.assert_frame_equal(failed.sort_index(), expected.sort_index(), check_dtype=False)


def test_another_configuration_is_refused_with_the_difference(
    colorized: Path, hard_archive: Path, tiny_checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"source={hard_archive}", f"output={colorized}", f"checkpoint={tiny_checkpoint}", "xmp_sidecars=true"]
    assert main(["archive", *arguments, "format=png"]) == 2
    assert '(format "same" -> "png")' in capsys.readouterr().err


def test_a_smaller_sample_is_a_subset_of_a_larger_one() -> None:
    assert len(draw(1000, 10)) == 10
    assert draw(1000, 10) < draw(1000, 100) < draw(1000, 999) < draw(1000, 5000) == set(range(1000))


def test_a_sample_is_drawn_once_for_all_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = []
    monkeypatch.setattr(work, "draw", lambda *sizes: draws.append(sizes) or draw(*sizes))
    select = input_filter(ArchiveConfig(source="a", output="b", sample=5), 100)
    parts = [pa.table({"index": range(start, start + 10)}) for start in range(0, 100, 10)]
    selected = pa.concat_tables(map(select, parts)).column("index").to_pylist()
    assert set(selected) == draw(100, 5)
    assert draws == [(100, 5)]


@pytest.mark.long
def test_limit_sample_and_report_may_change_when_a_run_continues(
    hard_archive: Path, tiny_checkpoint: str, ray_local: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit, then a sample while the report cannot be written, then all inputs."""
    output = tmp_path / "out"
    arguments = [f"source={hard_archive}", f"output={output}", f"checkpoint={tiny_checkpoint}", "max_failed_fraction=1"]

    def colorized_by(*more: str) -> set[str]:
        assert main(["archive", *arguments, *more]) == 0
        keys = pd.read_parquet(output / "metrics").key.tolist()
        assert len(keys) == len(set(keys))
        return set(keys)

    first = colorized_by("limit=3", "report=false")
    assert len(first) == 3
    assert not (output / "report").exists()
    assert "7 more" in capsys.readouterr().out

    (output / "report").write_text("a file where the folder of the report should be")
    listed = pd.read_parquet(output / "_state/manifest").key
    assert colorized_by("sample=6") == first | set(listed[list(draw(10, 6))])
    assert "no report was written" in capsys.readouterr().err
    assert json.loads((output / "run.json").read_text())["status"] == "done"

    assert colorized_by("report=false") == set(listed)


@pytest.mark.slow
def test_a_dry_run_estimates_and_writes_nothing(
    hard_archive: Path, tiny_checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"source={hard_archive}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}"]
    assert main(["archive", *arguments, "actors.count=3", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "would colorize 10 of the 10 photographs" in printed
    assert "on 3 actors" in printed
    assert "8 photographs on this machine" in printed
    assert not (tmp_path / "out").exists()


def test_failures_are_retried_and_a_new_run_replaces_everything(
    hard_archive: Path, tiny_checkpoint: str, ray_local: None, tmp_path: Path
) -> None:
    source, output = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    for name in ("gray.jpg", "truncated.jpg", "empty.jpg", "text.jpg"):
        (source / name).write_bytes((hard_archive / name).read_bytes())
    arguments = [f"source={source}", f"output={output}", f"checkpoint={tiny_checkpoint}"]
    assert main(["archive", *arguments]) == 3
    whole = (source / "gray.jpg").read_bytes()
    (source / "truncated.jpg").write_bytes(whole)  # replaced by better copies
    (source / "empty.jpg").write_bytes(whole)
    good = (output / "images/gray.jpg").stat().st_mtime_ns

    assert main(["archive", *arguments, "retry_failed=[truncated]"]) == 3
    rows = pd.read_parquet(output / "metrics").set_index("key")
    assert rows.status.to_dict() == {
        "empty.jpg": "empty",
        "gray.jpg": "ok",
        "text.jpg": "not_an_image",
        "truncated.jpg": "ok",
    }
    assert (output / "images/truncated.jpg").exists()
    assert (output / "images/gray.jpg").stat().st_mtime_ns == good
    assert not list((output / "_state/retried").rglob("*.parquet"))
    record = json.loads((output / "run.json").read_text())
    assert record["counts"] == {"ok": 2, "empty": 1, "not_an_image": 1}
    assert record["worked"] == 1

    (source / "text.jpg").unlink()
    (source / "added.jpg").write_bytes(whole)
    assert main(["archive", *arguments, "format=png"]) == 2
    assert main(["archive", *arguments, "format=png", "new_run=true"]) == 0
    rows = pd.read_parquet(output / "metrics")
    names = ("added.jpg", "empty.jpg", "gray.jpg", "truncated.jpg")
    assert sorted(rows.output_key) == [f"{name}.color.png" for name in names]


def test_retry_failed_is_all_failures_or_those_listed() -> None:
    config = {"source": "a", "output": "b"}
    assert ArchiveConfig.model_validate(config).retried_statuses() == ()
    assert ArchiveConfig.model_validate(config | {"retry_failed": True}).retried_statuses() == FAILURES
    assert ArchiveConfig.model_validate(config | {"retry_failed": ["empty"]}).retried_statuses() == ("empty",)
    with pytest.raises(ValueError, match="skipped_color"):
        ArchiveConfig.model_validate(config | {"retry_failed": ["skipped_color"]})


def test_a_stalled_run_ends_with_an_error(
    hard_archive: Path, tiny_checkpoint: str, ray_local: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading never ends."""
    end = tmp_path / "end"

    def hang(batch: object, **_: object) -> None:
        while not end.exists():
            time.sleep(0.1)

    monkeypatch.setattr(tasks, "fetch", hang)
    config = ArchiveConfig(source=str(hard_archive), output=f"{tmp_path}/out", checkpoint=tiny_checkpoint)
    try:
        with pytest.raises(ClusterError, match=r"no progress for 2 s .*; 0 of 10 photographs"):
            job.run(config.model_copy(update={"stall_seconds": 2}))
    finally:
        end.touch()  # otherwise the task would keep a CPU of the Ray session
    assert not (tmp_path / "out/_state/lock.json").exists()


@pytest.mark.parametrize(("policy", "images"), [("skip", {"gray.jpg"}), ("copy", {"gray.jpg", "in color.jpg"})])
def test_inputs_are_selected_and_those_in_color_skipped_or_copied(
    hard_archive: Path, tiny_checkpoint: str, ray_local: None, tmp_path: Path, policy: str, images: set[str]
) -> None:
    listing = ["listing.extensions=[.jpg]", "listing.exclude=['e*', 't*', 'cmyk*']"]
    arguments = [f"source={hard_archive}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}", *listing]
    assert main(["archive", *arguments, f"on_color={policy}", "report=false"]) == 0
    rows = pd.read_parquet(tmp_path / "out/metrics").set_index("key")
    assert rows.status.to_dict() == {"gray.jpg": "ok", "in color.jpg": "skipped_color"}
    assert {path.name for path in (tmp_path / "out/images").iterdir()} == images
    if policy == "copy":
        copy = tmp_path / "out/images/in color.jpg"
        assert copy.read_bytes() == (hard_archive / "in color.jpg").read_bytes()


def test_from_s3_to_s3_with_encryption_and_payer_on_every_request(
    s3_endpoint: str, strict_s3: list[str], bucket: str, hard_archive: Path, tiny_checkpoint: str, ray_local: None
) -> None:
    options = StorageOptions(endpoint=s3_endpoint)
    source = open_storage(f"s3://{bucket}/gräu 写真", options)
    for name in ("gray.jpg", "deep/er/wide.png", "empty.jpg", "notes.txt"):
        source.write(name, (hard_archive / name).read_bytes())
    checkpoint = open_storage(f"s3://{bucket}/model", options)
    for path in Path(tiny_checkpoint).iterdir():
        checkpoint.write(path.name, path.read_bytes())
    output = open_storage(f"s3://{bucket}/farbe 📷", options)
    arguments = [f"source={source.uri}", f"output={output.uri}", f"checkpoint={checkpoint.uri}"]
    assert main(["archive", *arguments, *strict_s3, "max_failed_fraction=0.4"]) == 0
    assert archive_rows.count_rows(output) == 3
    assert {entry.key for entry in output.child("images").list()} == {"gray.jpg", "deep/er/wide.png"}
    assert Image.open(io.BytesIO(output.child("images").read("gray.jpg"))).mode == "RGB"


def staged_count(output: Path) -> int:
    """Return the number of staged rows of the first part of a run in progress."""
    staged = archive_rows.read_staged(open_storage(str(output), StorageOptions()), archive_rows.FIRST, 0)
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


def _colors(output: Path) -> dict[str, tuple[int, float, str | None]]:
    """Time of the image in ns, mean chroma and settings by key; of the photographs with an image."""
    rows = pd.read_parquet(output / "metrics").set_index("key")
    rows = rows[rows.output_key.notna()]
    images = {key: (output / "images" / row.output_key).stat().st_mtime_ns for key, row in rows.iterrows()}
    return {key: (images[key], row.mean_chroma, row.settings) for key, row in rows.iterrows()}


@pytest.mark.usefixtures("ray_local")
def test_settings_of_single_photographs_and_their_correction(
    photo_paths: list[Path], tiny_checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in ("a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg"):
        (tmp_path / "in" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / key).write_bytes(photo_paths[0].read_bytes())
    (tmp_path / "list.csv").write_text("key,strength,skip\na/1.jpg,,\na/2.jpg,0,\nb/3.jpg,,\nb/4.jpg,,true\n")
    output = tmp_path / "out"
    arguments = ["archive", f"source={tmp_path}/in", f"output={output}", f"checkpoint={tiny_checkpoint}"]
    arguments += ["strength=0.5", "rules=[{keys: b/*, strength: 2}]", f"listing.manifest={tmp_path}/list.csv"]
    assert main([*arguments, "report=false"]) == 0
    statuses = pd.read_parquet(output / "metrics").set_index("key").status
    assert dict(statuses) == {"a/1.jpg": "ok", "a/2.jpg": "ok", "b/3.jpg": "ok", "b/4.jpg": "skipped"}
    first = _colors(output)
    assert first["a/2.jpg"][1] == pytest.approx(0, abs=0.2)
    assert first["b/3.jpg"][1] == pytest.approx(4 * first["a/1.jpg"][1], rel=0.25)  # where no color leaves sRGB
    assert [json.loads(settings or "{}") for _, _, settings in first.values()] == [
        {"strength": 0.5},
        {"strength": 0.0},
        {"strength": 2.0},
    ]
    (tmp_path / "c.json").write_text('{"rows": {"a/1.jpg": {"settings": {"strength": 1}}, "b/3.jpg": {}}}')
    capsys.readouterr()
    assert main([*arguments, f"corrections={tmp_path}/c.json"]) == 0
    corrected = _colors(output)
    assert corrected["a/1.jpg"][0] > first["a/1.jpg"][0]
    assert corrected["a/1.jpg"][1] == pytest.approx(2 * first["a/1.jpg"][1], rel=0.25)
    assert pd.isna(corrected["a/1.jpg"][2])
    assert {key: corrected[key] for key in ("a/2.jpg", "b/3.jpg")} == {
        key: first[key] for key in ("a/2.jpg", "b/3.jpg")
    }
    capsys.readouterr()
    assert main([*arguments, f"corrections={tmp_path}/c.json"]) == 0
    assert "nothing to do: 4 done" in capsys.readouterr().out
