import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs
from skimage.color import rgb2lab

from colorize_core.data.shards import (
    DatasetInfo,
    encode_shard,
    images_to_lab,
    make_table,
    read_batches,
    read_dataset_info,
)
from colorize_core.errors import UserError


def random_rgb(count: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def table(count: int, exact: bool = True) -> pa.Table:
    return make_table([f"k{i}" for i in range(count)], [f"{i:064x}" for i in range(count)], random_rgb(count), exact)


def write(path: Path, count: int, exact: bool = True) -> str:
    path.write_bytes(encode_shard(table(count, exact)))
    return str(path)


def info() -> DatasetInfo:
    return DatasetInfo(
        size=8,
        resize="squash",
        splits={"train": {"rows": 3, "files": ["train/a.parquet"]}, "val": {"rows": 0, "files": []}},
        rejects={"empty": 1},
        source="somewhere",
        fingerprint="f" * 64,
        ab_median=(1.0, 2.0),
        color_prior=[[0.0, 0.0, 1.0]],
    )


# Rows


def test_pixels_become_the_lab_of_scikit_image(photos: np.ndarray) -> None:
    found = images_to_lab(photos[:2]).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(found, rgb2lab(photos[:2]), atol=1e-3)  # the tolerance of test_color


def test_rows_are_8_bit_lab_in_the_convention_of_opencv() -> None:
    rows = table(5)
    exact = rgb2lab(random_rgb(5)).transpose(0, 3, 1, 2) * np.array([2.55, 1, 1])[:, None, None]
    exact += np.array([0, 128, 128])[:, None, None]
    stored = np.concatenate([rows[name].combine_chunks().to_numpy_ndarray() for name in ("L", "ab")], axis=1)
    assert stored.dtype == np.uint8
    assert np.abs(stored - exact).max() <= 0.5 + 2e-3  # the nearest level, as in test_color


def test_tensors_have_a_fixed_shape() -> None:
    kinds = {name: table(2).schema.field(name).type for name in ("L", "ab", "rgb")}
    assert kinds == {
        "L": pa.fixed_shape_tensor(pa.uint8(), (1, 8, 8)),
        "ab": pa.fixed_shape_tensor(pa.uint8(), (2, 8, 8)),
        "rgb": pa.fixed_shape_tensor(pa.uint8(), (3, 8, 8)),
    }


def test_only_exact_rows_carry_rgb() -> None:
    assert table(2, exact=False).column_names == ["key", "id", "L", "ab"]


def test_rows_keep_key_and_id() -> None:
    assert table(2).select(["key", "id"]).to_pylist() == [{"key": f"k{i}", "id": f"{i:064x}"} for i in range(2)]


# Files


def test_a_shard_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = write(tmp_path / "a", 5)
    (batch,) = read_batches([path], columns=["key", "L", "ab", "rgb"])
    rows = table(5)
    assert batch["key"] == rows["key"].to_pylist()
    for name in ("L", "ab", "rgb"):
        np.testing.assert_array_equal(batch[name], rows[name].combine_chunks().to_numpy_ndarray())


def test_exact_pixels_survive_without_any_loss(tmp_path: Path) -> None:
    (batch,) = read_batches([write(tmp_path / "a", 5)], columns=["rgb"])
    np.testing.assert_array_equal(batch["rgb"], random_rgb(5).transpose(0, 3, 1, 2))


def test_a_shard_is_compressed_with_zstd_and_its_pixels_by_byte_stream_split() -> None:
    metadata = pq.ParquetFile(io.BytesIO(encode_shard(table(5)))).metadata.row_group(0)
    columns = [metadata.column(i) for i in range(metadata.num_columns)]
    assert {column.compression for column in columns} == {"ZSTD"}
    split = {column.path_in_schema.split(".")[0] for column in columns if "BYTE_STREAM_SPLIT" in column.encodings}
    assert split == {"L", "ab", "rgb"}


def test_any_parquet_reader_sees_the_tensors() -> None:
    assert pq.read_table(io.BytesIO(encode_shard(table(5)))).equals(table(5))


def test_equal_rows_are_equal_files() -> None:
    assert encode_shard(table(5)) == encode_shard(table(5))


def test_an_empty_shard_can_be_written() -> None:
    assert pq.read_table(io.BytesIO(encode_shard(table(0)))).num_rows == 0


def test_only_the_columns_that_are_asked_for_are_read(tmp_path: Path) -> None:
    (batch,) = read_batches([write(tmp_path / "a", 3)], columns=["ab", "key"])
    assert list(batch) == ["ab", "key"]


def test_a_shard_without_exact_pixels_can_be_read(tmp_path: Path) -> None:
    (batch,) = read_batches([write(tmp_path / "a", 3, exact=False)], columns=["L", "ab"])
    assert batch["L"].shape == (3, 1, 8, 8)


def test_what_is_read_can_be_written_to(tmp_path: Path) -> None:
    """torch.from_numpy wants that."""
    (batch,) = read_batches([write(tmp_path / "a", 3)], columns=["L"])
    batch["L"][:] = 0
    assert not batch["L"].any()


def test_shards_are_read_in_order(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, count) for name, count in (("b", 150), ("a", 3))]
    keys = [key for batch in read_batches(paths, columns=["key"]) for key in batch["key"]]
    assert keys == [f"k{i}" for i in range(150)] + ["k0", "k1", "k2"]


def test_a_batch_is_no_larger_than_a_row_group(tmp_path: Path) -> None:
    assert [len(batch["key"]) for batch in read_batches([write(tmp_path / "a", 150)], columns=["key"])] == [64, 64, 22]


@pytest.mark.parametrize("world_size", [1, 2, 3, 10])
def test_every_row_is_read_by_exactly_one_reader(tmp_path: Path, world_size: int) -> None:
    paths = [write(tmp_path / "a", 300)]
    rows: list[str] = []
    for rank in range(world_size):
        for batch in read_batches(paths, columns=["key"], rank=rank, world_size=world_size):
            rows += batch["key"]
    assert sorted(rows) == sorted(f"k{i}" for i in range(300))


def test_groups_are_dealt_across_the_borders_of_files(tmp_path: Path) -> None:
    """Many small shards are shared out as well as one large one."""
    paths = [write(tmp_path / str(i), 2) for i in range(4)]
    shares = [len(list(read_batches(paths, columns=["key"], rank=rank, world_size=2))) for rank in range(2)]
    assert shares == [2, 2]


def test_shards_are_read_from_the_file_system_that_is_given(tmp_path: Path) -> None:
    write(tmp_path / "a", 3)
    system = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    assert [len(batch["key"]) for batch in read_batches(["a"], system, columns=["key"])] == [3]


# dataset.json


def test_dataset_info_survives_the_round_trip(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_bytes(info().to_json())
    assert read_dataset_info(str(tmp_path)) == replace(info(), ab_median=[1.0, 2.0])  # JSON has no tuples


def test_a_trailing_slash_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_bytes(info().to_json())
    assert read_dataset_info(f"{tmp_path}/").size == 8


def message(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_dataset_info(str(folder))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_directory_without_a_dataset_is_refused(tmp_path: Path) -> None:
    assert f"{tmp_path}: not a dataset of Lab shards" in message(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"size": 1, "surprise": 2}', b"\xff\xfe\x00"])
def test_a_damaged_dataset_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dataset.json").write_bytes(content)
    assert f"{tmp_path}/dataset.json: damaged" in message(tmp_path)


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps(json.loads(info().to_json()) | {"version": 2}))
    assert "shard schema version 2 is not supported" in message(tmp_path)


def test_files_of_a_split_are_listed() -> None:
    assert info().files("train", "here") == ["train/a.parquet"]


@pytest.mark.parametrize("split", ["val", "test", "nonsense"])
def test_a_split_without_rows_is_refused_and_those_with_rows_are_named(split: str) -> None:
    with pytest.raises(UserError) as caught:
        info().files(split, "here")
    assert str(caught.value) == f"here: the dataset has no {split!r} split (it has: train)"
