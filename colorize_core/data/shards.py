"""Lab shards: the Parquet files that models train on, and their `dataset.json`.

One directory per split, one row per photograph: `key`, `id` (SHA-256 of the source file), `L` (1, S, S) and `ab`
(2, S, S) as fixed-shape uint8 tensors in OpenCV's 8-bit Lab convention. Rows are sorted by `id`, a hash, and therefore
in random order. Evaluation splits also have `rgb` (3, S, S), the exact pixels, because 8-bit Lab rounds: RGB values
that are converted back differ by up to 1.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pyarrow import fs

from colorize_core.color.lab import lab_to_uint8
from colorize_core.color.pixels import pixels_to_lab
from colorize_core.errors import UserError
from colorize_core.runtime.files import read_file, shard_errors

SCHEMA_VERSION = 1
DATASET_FILE = "dataset.json"
TRAIN, VAL, TEST = "train", "val", "test"
SPLITS = (TRAIN, VAL, TEST)
EVALUATION_SPLITS = (VAL, TEST)

_ROWS_PER_GROUP = 64  # the unit a reader fetches and shuffles
_ZSTD_LEVEL = 3  # 7 % smaller than level 1 and equally fast to read


@dataclass(frozen=True)
class DatasetInfo:
    """Contents of `dataset.json`, which describes the shards in its folder."""

    size: int
    """Side of every photograph in pixels."""
    resize: str
    """How photographs were made square: squash or crop."""
    splits: dict[str, dict[str, Any]]
    """For each split, the number of rows and the shard files, relative to the dataset."""
    rejects: dict[str, int]
    """Number of rejected inputs for each reason; `rejects.parquet` lists them."""
    source: str
    """Location of the original photographs."""
    fingerprint: str
    """SHA-256 over the sorted ids and splits: equal for equal photographs, independent of their names."""
    ab_median: tuple[float, float]
    """Median a and b of all training pixels, the color of the constant-color baseline."""
    color_prior: list[list[float]]
    """[a, b, fraction] for points of a 10-unit ab grid: fraction of training pixels nearest to it, largest first."""
    version: int = SCHEMA_VERSION
    config: dict[str, Any] = field(default_factory=dict)
    """Resolved configuration of the job that wrote the dataset."""

    def to_json(self) -> bytes:
        """Serialize to the contents of `dataset.json`."""
        return json.dumps(asdict(self), indent=2).encode()

    def files(self, split: str, where: str) -> list[str]:
        """Return the shard files of a split; raises UserError, with the existing splits, if the split is empty."""
        if not self.splits.get(split, {}).get("rows"):
            existing = ", ".join(name for name, entry in self.splits.items() if entry["rows"]) or "none"
            raise UserError(f"{where}: the dataset has no {split!r} split (it has: {existing})")
        return list(self.splits[split]["files"])


def read_dataset_info(path_or_uri: str, filesystem: fs.FileSystem | None = None) -> DatasetInfo:
    """Read `dataset.json`; raises UserError if it is missing, damaged or has another schema version."""
    where = path_or_uri.rstrip("/")
    try:
        raw = read_file(f"{where}/{DATASET_FILE}", filesystem)
    except UserError as error:
        raise UserError(f"{where}: not a dataset of Lab shards (no readable {DATASET_FILE}); run `prepare`") from error
    try:
        info = DatasetInfo(**json.loads(raw))
    except (ValueError, TypeError) as error:
        raise UserError(f"{where}/{DATASET_FILE}: damaged or of another version ({error})") from error
    if info.version != SCHEMA_VERSION:
        raise UserError(f"{where}: shard schema version {info.version} is not supported; expected {SCHEMA_VERSION}")
    return info


def images_to_lab(rgb: np.ndarray) -> torch.Tensor:
    """Convert sRGB pixels (B, H, W, 3) uint8, B at least 1, to CIELAB (B, 3, H, W)."""
    return torch.cat([pixels_to_lab(pixels, torch.device("cpu")) for pixels in rgb])


def make_table(keys: Sequence[str], ids: Sequence[str], rgb: np.ndarray, exact: bool) -> pa.Table:
    """Make the rows of a shard.

    Args:
        keys: location of each photograph in its source.
        ids: SHA-256 of each source file.
        rgb: (B, S, S, 3) uint8.
        exact: also store the RGB pixels, for evaluation splits.
    """
    L, ab = (np.empty((len(rgb), channels, *rgb.shape[1:3]), np.uint8) for channels in (1, 2))
    for number in range(len(rgb)):  # one at a time: the floats of a whole batch do not fit into the CPU caches
        pixels = lab_to_uint8(images_to_lab(rgb[number : number + 1]))
        L[number], ab[number] = (part[0].numpy() for part in pixels)
    columns = {"key": pa.array(keys), "id": pa.array(ids), "L": _tensor(L), "ab": _tensor(ab)}
    if exact:
        columns["rgb"] = _tensor(np.ascontiguousarray(rgb.transpose(0, 3, 1, 2)))
    return pa.table(columns)


def _tensor(values: np.ndarray) -> pa.ExtensionArray:
    kind = pa.fixed_shape_tensor(pa.uint8(), values.shape[1:])
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.ExtensionArray.from_storage(kind, pa.FixedSizeListArray.from_arrays(flat, int(np.prod(values.shape[1:]))))


def encode_shard(table: pa.Table) -> bytes:
    """Serialize a shard as a Parquet file.

    Parquet stores uint8 as 32-bit integers. The encoding BYTE_STREAM_SPLIT groups the bytes that are always 0 before
    zstd: 3/4 of the size of plain encoding, in 2/3 of the time.
    """
    sink = pa.BufferOutputStream()
    tensors = [name for name in ("L", "ab", "rgb") if name in table.column_names]
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=_ZSTD_LEVEL,
        row_group_size=_ROWS_PER_GROUP,
        use_dictionary=False,
        column_encoding={f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in tensors},  # Parquet leaf paths
    )
    return sink.getvalue().to_pybytes()


def read_batches(
    paths: Sequence[str],
    filesystem: fs.FileSystem | None = None,
    *,
    columns: Sequence[str],
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[dict[str, Any]]:
    """Read shards row group by row group.

    Args:
        paths: shard files, paths on `filesystem`.
        filesystem: local when None.
        columns: names of the columns to read.
        rank: rank of this reader. Row groups are assigned round-robin, so exactly one rank reads each row.
        world_size: number of readers.

    Yields:
        Columns by name: tensors as (B, C, S, S) uint8 arrays, strings as lists.

    Raises:
        UserError: a shard is missing or damaged.
    """
    system = filesystem or fs.LocalFileSystem()
    position = 0
    for path in paths:
        with shard_errors(path), system.open_input_file(path) as source:
            file = pq.ParquetFile(source)
            for group in range(file.num_row_groups):
                if position % world_size == rank:
                    rows = group_columns(file.read_row_group(group, columns=list(columns)), columns)
                    # Copied, because callers may write to them and Arrow's memory is read-only.
                    yield {name: values.copy() if is_tensor(values) else values for name, values in rows.items()}
                position += 1


def group_columns(table: pa.Table, columns: Sequence[str]) -> dict[str, Any]:
    """Return columns by name: tensors as read-only (B, C, S, S) uint8 views of Arrow's memory, strings as lists."""
    table = table.combine_chunks()
    return {name: _column(table.column(name).chunk(0)) for name in columns}


def is_tensor(values: Any) -> bool:
    """Return True if a column of `group_columns`, or one row of it, holds pixels."""
    return isinstance(values, np.ndarray)


def _column(array: pa.Array) -> Any:
    return array.to_numpy_ndarray() if isinstance(array, pa.FixedShapeTensorArray) else array.to_pylist()


def read_photographs(
    paths: Sequence[str], keys: Sequence[str], filesystem: fs.FileSystem | None = None
) -> dict[str, np.ndarray]:
    """Read the exact pixels (3, S, S) uint8 of some photographs by key, from the row groups that contain them."""
    system, wanted = filesystem or fs.LocalFileSystem(), set(keys)
    found: dict[str, np.ndarray] = {}
    for path in paths:
        with system.open_input_file(path) as source:
            file = pq.ParquetFile(source)
            for group in range(file.num_row_groups):
                present = file.read_row_group(group, columns=["key"]).column("key").to_pylist()
                if not wanted.intersection(present):
                    continue
                pixels = group_columns(file.read_row_group(group, columns=["rgb"]), ["rgb"])["rgb"]
                found |= {key: pixels[row].copy() for row, key in enumerate(present) if key in wanted}
        if len(found) == len(wanted):
            break
    return found
