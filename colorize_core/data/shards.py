"""Lab shards: the Parquet files models train on, and the `dataset.json` beside them.

One directory per split, one row per photograph: `key`, `id` (SHA-256 of the source file), `L` (1, S, S) and `ab`
(2, S, S) as fixed-shape uint8 tensors in OpenCV's 8-bit Lab convention, rows in the order of `id`, which is as good
as shuffled. Evaluation splits also carry `rgb` (3, S, S), the exact pixels, since 8-bit Lab loses up to a level.
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
from colorize_core.runtime.files import read_file

SCHEMA_VERSION = 1
DATASET_FILE = "dataset.json"
TRAIN, VAL, TEST = "train", "val", "test"
SPLITS = (TRAIN, VAL, TEST)
EVALUATION_SPLITS = (VAL, TEST)

_ROWS_PER_GROUP = 64  # the unit a reader fetches and shuffles
_ZSTD_LEVEL = 3  # 7 % smaller than at 1, and as fast to read


@dataclass(frozen=True)
class DatasetInfo:
    """What `dataset.json` says of the shards beside it."""

    size: int
    """Side of every row in pixels."""
    resize: str
    """How photographs became square: squash or crop."""
    splits: dict[str, dict[str, Any]]
    """By split: rows, and the shard files relative to the dataset."""
    rejects: dict[str, int]
    """Number of rejected inputs by reason; `rejects.parquet` names them."""
    source: str
    """Location the photographs came from."""
    fingerprint: str
    """SHA-256 over the sorted ids and splits: equal for equal photographs, whatever they are called."""
    ab_median: tuple[float, float]
    """Median a and b of all training pixels: the constant-color baseline."""
    color_prior: list[list[float]]
    """[a, b, share] of training pixels by the nearest point of a 10-unit ab grid, largest share first."""
    version: int = SCHEMA_VERSION
    config: dict[str, Any] = field(default_factory=dict)
    """Resolved configuration of the job that wrote it."""

    def to_json(self) -> bytes:
        """Serialize for `dataset.json`."""
        return json.dumps(asdict(self), indent=2).encode()

    def files(self, split: str, where: str) -> list[str]:
        """Shard files of a split; raises UserError naming the splits there are when it has none."""
        if not self.splits.get(split, {}).get("rows"):
            there = ", ".join(name for name, entry in self.splits.items() if entry["rows"]) or "none"
            raise UserError(f"{where}: the dataset has no {split!r} split (it has: {there})")
        return list(self.splits[split]["files"])


def read_dataset_info(path_or_uri: str, filesystem: fs.FileSystem | None = None) -> DatasetInfo:
    """Read `dataset.json`; raises UserError when it is missing, damaged or of another schema version."""
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
        raise UserError(f"{where}: shard schema version {info.version}, this version reads {SCHEMA_VERSION}")
    return info


def images_to_lab(rgb: np.ndarray) -> torch.Tensor:
    """(B, H, W, 3) uint8, B at least 1, to CIELAB (B, 3, H, W)."""
    return torch.cat([pixels_to_lab(pixels, torch.device("cpu")) for pixels in rgb])


def make_table(keys: Sequence[str], ids: Sequence[str], rgb: np.ndarray, exact: bool) -> pa.Table:
    """Rows of a shard.

    Args:
        keys: location of each photograph in its source.
        ids: SHA-256 of each source file.
        rgb: (B, S, S, 3) uint8.
        exact: also keep the RGB pixels, for splits that models are scored on.
    """
    L, ab = (np.empty((len(rgb), channels, *rgb.shape[1:3]), np.uint8) for channels in (1, 2))
    for number in range(len(rgb)):  # all at once, their floats would leave the processor's caches
        levels = lab_to_uint8(images_to_lab(rgb[number : number + 1]))
        L[number], ab[number] = (part[0].numpy() for part in levels)
    columns = {"key": pa.array(keys), "id": pa.array(ids), "L": _tensor(L), "ab": _tensor(ab)}
    if exact:
        columns["rgb"] = _tensor(np.ascontiguousarray(rgb.transpose(0, 3, 1, 2)))
    return pa.table(columns)


def _tensor(values: np.ndarray) -> pa.ExtensionArray:
    kind = pa.fixed_shape_tensor(pa.uint8(), values.shape[1:])
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.ExtensionArray.from_storage(kind, pa.FixedSizeListArray.from_arrays(flat, int(np.prod(values.shape[1:]))))


def encode_shard(table: pa.Table) -> bytes:
    """A shard as the bytes of a Parquet file.

    Parquet stores a uint8 in 32 bits. Byte-stream-split brings those that are always 0 together before zstd: three
    quarters of the plain size, in two thirds of the time.
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
        column_encoding={f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in tensors},  # paths of Parquet's leaves
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
        columns: to read.
        rank: of this reader; row groups are dealt round-robin, so that every row is read by exactly one.
        world_size: number of readers.

    Yields:
        Columns by name: tensors as (B, C, S, S) uint8 arrays, strings as lists.
    """
    system = filesystem or fs.LocalFileSystem()
    position = 0
    for path in paths:
        with system.open_input_file(path) as source:
            file = pq.ParquetFile(source)
            for group in range(file.num_row_groups):
                if position % world_size == rank:
                    rows = group_columns(file.read_row_group(group, columns=list(columns)), columns)
                    # Copies: callers may write to them, which Arrow's memory does not allow.
                    yield {name: values.copy() if is_tensor(values) else values for name, values in rows.items()}
                position += 1


def group_columns(table: pa.Table, columns: Sequence[str]) -> dict[str, Any]:
    """Columns of rows by name: tensors as (B, C, S, S) uint8 arrays in Arrow's memory, read-only; strings as lists."""
    table = table.combine_chunks()
    return {name: _column(table.column(name).chunk(0)) for name in columns}


def is_tensor(values: Any) -> bool:
    """Whether a column of `group_columns`, or a row of it, holds pixels."""
    return isinstance(values, np.ndarray)


def _column(array: pa.Array) -> Any:
    return array.to_numpy_ndarray() if isinstance(array, pa.FixedShapeTensorArray) else array.to_pylist()


def read_photographs(
    paths: Sequence[str], keys: Sequence[str], filesystem: fs.FileSystem | None = None
) -> dict[str, np.ndarray]:
    """The exact pixels (3, S, S) uint8 of some photographs by key; only the row groups that hold one are read."""
    system, wanted = filesystem or fs.LocalFileSystem(), set(keys)
    found: dict[str, np.ndarray] = {}
    for path in paths:
        with system.open_input_file(path) as source:
            file = pq.ParquetFile(source)
            for group in range(file.num_row_groups):
                there = file.read_row_group(group, columns=["key"]).column("key").to_pylist()
                if not wanted.intersection(there):
                    continue
                pixels = group_columns(file.read_row_group(group, columns=["rgb"]), ["rgb"])["rgb"]
                found |= {key: pixels[place].copy() for place, key in enumerate(there) if key in wanted}
        if len(found) == len(wanted):
            break
    return found
