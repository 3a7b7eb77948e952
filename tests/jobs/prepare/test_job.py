import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from skimage.color import rgb2lab

from cluster.storage.stores import StorageOptions, open_storage
from colorize_core.data.shards import read_batches, read_dataset_info
from jobs.cli import main
from jobs.prepare.tasks import plan_shards
from tests.jobs.conftest import encode

pytestmark = pytest.mark.usefixtures("ray_local")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, photo_paths: list[Path]) -> Path:
    """Photographs in four formats, and one input for each reason of rejection."""
    folder = tmp_path_factory.mktemp("mixed")
    contents = [path.read_bytes() for path in photo_paths]
    for number, data in enumerate(contents[:20]):
        (folder / f"good-{number:02d}.jpg").write_bytes(data)
    for number, format in enumerate(("png", "webp", "tiff")):
        Image.open(photo_paths[20 + number]).save(folder / f"good-{format}.{format}")
    (folder / "z-copy.jpg").write_bytes(contents[0])
    (folder / "broken.jpg").write_bytes(contents[1][: len(contents[1]) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("not a photograph")
    Image.open(photo_paths[2]).convert("L").save(folder / "gray.jpg")
    (folder / "notes.txt").write_text("ignored")
    return folder


@pytest.fixture(scope="module")
def prepared(mixed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("prepared") / "Köln 写真 📷"
    arguments = [f"source={mixed}", f"output={output}", "size=64", "rows_per_shard=8"]
    assert main(["prepare", *arguments, "val_fraction=0.3", "test_fraction=0.2"]) == 0
    return output


def rows_of(prepared: Path, split: str, columns: list[str]) -> pd.DataFrame:
    info = read_dataset_info(str(prepared))
    batches = read_batches([str(prepared / name) for name in info.files(split, "")], columns=columns)
    return pd.concat(pd.DataFrame({name: list(values) for name, values in batch.items()}) for batch in batches)


def test_every_input_is_a_row_or_a_reject(prepared: Path) -> None:
    info = read_dataset_info(str(prepared))
    assert sum(entry["rows"] for entry in info.splits.values()) == 23
    assert info.rejects == {"duplicate": 1, "empty": 1, "near_gray": 1, "not_an_image": 1, "truncated": 1}


def test_rejected_inputs_are_listed_with_the_reason(prepared: Path) -> None:
    rejects = pd.read_parquet(prepared / "rejects.parquet").set_index("key")
    assert rejects.reason.to_dict() == {
        "broken.jpg": "truncated",
        "empty.jpg": "empty",
        "gray.jpg": "near_gray",
        "text.jpg": "not_an_image",
        "z-copy.jpg": "duplicate",
    }
    assert rejects.detail["z-copy.jpg"] == "same bytes as good-00.jpg"


def test_rows_contain_the_colors_of_the_photograph(prepared: Path, mixed: Path) -> None:
    row = rows_of(prepared, "val", ["key", "L", "ab", "rgb"]).iloc[0]
    image = Image.open(mixed / row.key).convert("RGB")
    expected = np.asarray(image.resize((64, 64), Image.Resampling.BICUBIC))
    lab = rgb2lab(expected)
    assert (row.rgb.transpose(1, 2, 0) == expected).all()
    assert np.abs(row.L[0] / 2.55 - lab[..., 0]).max() < 0.2  # half a level of 8 bits is 0.196
    assert np.abs(row.ab.transpose(1, 2, 0) - 128.0 - lab[..., 1:]).max() < 0.501


def test_training_rows_have_no_rgb(prepared: Path) -> None:
    info = read_dataset_info(str(prepared))
    assert pq.read_schema(prepared / info.files("train", "")[0]).names == ["key", "id", "L", "ab"]


def test_shards_have_the_configured_size_and_are_sorted_by_hash(prepared: Path) -> None:
    info = read_dataset_info(str(prepared))
    for split in ("train", "val", "test"):
        ids = rows_of(prepared, split, ["id"]).id.tolist()
        assert ids == sorted(ids)
        assert len(info.files(split, "")) == -(-len(ids) // 8)


def test_the_median_color_is_that_of_the_training_rows(prepared: Path) -> None:
    ab = np.stack(rows_of(prepared, "train", ["ab"]).ab.tolist()).astype(float) - 128
    expected = np.median(ab[:, 0]), np.median(ab[:, 1])
    assert read_dataset_info(str(prepared)).ab_median == list(expected)


def test_the_prior_is_a_distribution_over_the_grid(prepared: Path) -> None:
    prior = np.array(read_dataset_info(str(prepared)).color_prior)
    assert prior[:, 2].sum() == pytest.approx(1)
    assert (prior[:, :2] % 10 == 0).all()
    ab = np.stack(rows_of(prepared, "train", ["ab"]).ab.tolist()).astype(float) - 128
    nearest = np.round(ab / 10) * 10
    a, b, share = prior[0]
    assert ((nearest[:, 0] == a) & (nearest[:, 1] == b)).mean() == pytest.approx(share)


def test_sub_folders_decide_the_split_and_others_are_rejected(dataset: str, photo_folder: Path) -> None:
    info = read_dataset_info(dataset)
    expected = {split: len(list((photo_folder / split).iterdir())) for split in ("train", "val")}
    assert {split: info.splits[split]["rows"] for split in expected} == expected
    assert info.splits["test"]["rows"] == 0


def test_a_dataset_is_never_overwritten(prepared: Path, mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (prepared / "dataset.json").read_bytes()
    assert main(["prepare", f"source={mixed}", f"output={prepared}", "size=32"]) == 2
    assert "already contains a dataset" in capsys.readouterr().err
    assert (prepared / "dataset.json").read_bytes() == before


def test_renamed_photographs_give_the_same_shards_and_replace_those_of_an_interrupted_run(
    prepared: Path, mixed: Path, tmp_path: Path
) -> None:
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for number, file in enumerate(sorted(mixed.glob("good-*"), reverse=True)):
        (renamed / f"{number:03d}{file.suffix}").write_bytes(file.read_bytes())
    output = tmp_path / "shards"
    (output / "train").mkdir(parents=True)
    for number in (0, 99):
        (output / "train" / f"part-{number:05d}.parquet").write_bytes(b"half")
    arguments = [f"source={renamed}", f"output={output}", "size=64", "rows_per_shard=8"]
    assert main(["prepare", *arguments, "val_fraction=0.3", "test_fraction=0.2"]) == 0
    info, expected = read_dataset_info(str(output)), read_dataset_info(str(prepared))
    assert info.fingerprint == expected.fingerprint
    assert info.files("train", "") == expected.files("train", "")
    ours, theirs = rows_of(output, "train", ["ab"]), rows_of(prepared, "train", ["ab"])
    assert (np.stack(ours.ab.tolist()) == np.stack(theirs.ab.tolist())).all()


def wide_photograph() -> bytes:
    """Return a PNG with a green center, a red left quarter and a blue right quarter."""
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:, :32], pixels[:, 32:96], pixels[:, 96:] = (200, 30, 30), (30, 200, 30), (30, 30, 200)
    return encode(pixels, "PNG")


def color_at_the_right_edge(rgb: np.ndarray) -> int:
    """Return the index of the strongest channel near the right edge of a (3, 32, 32) image."""
    return int(rgb[:, 16, 28].argmax())


def test_of_identical_files_the_one_in_the_evaluation_split_is_kept(tmp_path: Path, photo_paths: list[Path]) -> None:
    """Also that `squash` keeps the borders of a photograph, and that copies and gray ones can be kept."""
    files = {key: photo_paths[0].read_bytes() for key in ("train/a.jpg", "val/b.jpg", "elsewhere/c.jpg")}
    files |= {"train/d.jpg": photo_paths[1].read_bytes(), "val/wide.png": wide_photograph()}
    for key, data in files.items():
        (tmp_path / "photos" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / key).write_bytes(data)
    output = tmp_path / "shards"
    arguments = [f"source={tmp_path}/photos", f"output={output}", "size=32", "split=folders", "resize=squash"]
    assert main(["prepare", *arguments]) == 0
    reasons = pd.read_parquet(output / "rejects.parquet").set_index("key").reason.to_dict()
    assert reasons == {"train/a.jpg": "duplicate", "elsewhere/c.jpg": "no_split"}
    rows = rows_of(output, "val", ["key", "rgb"]).set_index("key")
    assert sorted(rows.index) == ["val/b.jpg", "val/wide.png"]
    assert color_at_the_right_edge(rows.rgb["val/wide.png"]) == 2
    Image.open(photo_paths[2]).convert("L").save(tmp_path / "photos/val/gray.png")
    assert main(["prepare", arguments[0], f"output={tmp_path}/all", *arguments[2:], "screen=false"]) == 0
    assert pd.read_parquet(tmp_path / "all" / "rejects.parquet").reason.tolist() == ["no_split"]
    kept = rows_of(tmp_path / "all", "val", ["key"]).key.tolist()
    assert sorted(kept) == ["val/b.jpg", "val/gray.png", "val/wide.png"]
    assert sorted(rows_of(tmp_path / "all", "train", ["key"]).key) == ["train/a.jpg", "train/d.jpg"]


def test_photographs_and_shards_may_be_on_s3(
    s3_endpoint: str, strict_s3: list[str], bucket: str, photo_paths: list[Path]
) -> None:
    """Also that `crop` keeps the proportions of a photograph."""
    options = StorageOptions(endpoint=s3_endpoint)
    photos = open_storage(f"s3://{bucket}/photos", options)
    photos.write("val/wide.png", wide_photograph())
    for path in photo_paths[:3]:
        photos.write(f"train/{path.name}", path.read_bytes())
    output = f"s3://{bucket}/shards"
    arguments = [f"source={photos.uri}", f"output={output}", "size=32", "split=folders"]
    assert main(["prepare", *arguments, *strict_s3]) == 0
    written = open_storage(output, options)
    info = read_dataset_info(written.path(), written.filesystem)
    assert info.splits["train"]["rows"] == 3
    (row,) = pq.read_table(io.BytesIO(written.read(info.files("val", "")[0]))).column("rgb").to_numpy()
    assert color_at_the_right_edge(row.reshape(3, 32, 32)) == 1


def test_shards_are_filled_in_order() -> None:
    accepted = pd.DataFrame({"split": ["val", "train", "train", "train"], "key": list("abcd"), "id": list("1234")})
    planned = plan_shards(accepted, 2)
    assert [(shard["file"], shard["keys"]) for shard in planned] == [
        ("train/part-00000.parquet", ["b", "c"]),
        ("train/part-00001.parquet", ["d"]),
        ("val/part-00000.parquet", ["a"]),
    ]
