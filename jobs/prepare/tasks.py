"""Ray tasks of `prepare`: screening of photographs, and writing of shards."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from cluster.storage.stores import Storage
from colorize_core.color.prior import ColorCounter
from colorize_core.data import screening, shards
from colorize_core.errors import UserError
from colorize_core.photo.decode import decode
from jobs.inputs.fetch import Fetched, fetch_all
from jobs.run.progress import ClusterCounter

if TYPE_CHECKING:
    import pandas as pd

    from jobs.prepare.config import PrepareConfig

_BATCH_SIZE = 64


def inspect_rows(batch: pa.Table, config: "PrepareConfig", source: Storage, counter: ClusterCounter) -> pa.Table:
    """Screen the photographs of a batch of manifest rows; return key, split, id, reason and detail of each."""
    keys = batch.column("key").to_pylist()
    rows = [_inspect(key, file, config) for key, file in zip(keys, fetch_all(source, keys), strict=True)]
    counter.add(len(rows))
    return pa.Table.from_pylist(rows)


def _inspect(key: str, file: Fetched, config: "PrepareConfig") -> dict[str, str]:
    if file.status:
        found = screening.ScreeningResult("", file.status, file.error)
    else:
        policy = screening.ResizePolicy(config.size, config.resize)
        found = screening.screen(file.data, policy, config.max_pixels, keep_gray=not config.screen)
    split, reason, detail = None, found.reason, found.detail
    if config.split == "folders":
        split = screening.split_by_folder(key)
    elif found.id:
        split = screening.split_by_hash(found.id, config.val_fraction, config.test_fraction)
    if not reason and split is None:
        reason, detail = "no_split", "not in a folder named train, val or test"
    return {"key": key, "split": split or "", "id": found.id, "reason": reason, "detail": detail}


def plan_shards(accepted: "pd.DataFrame", rows_per_shard: int) -> list[dict[str, Any]]:
    """Divide each split, in the order of the rows, into shards with file, split, keys and ids."""
    planned = []
    for split, rows in accepted.groupby("split", sort=True):
        for number, start in enumerate(range(0, len(rows), rows_per_shard)):
            part = rows.iloc[start : start + rows_per_shard]
            planned.append(
                {
                    "split": split,
                    "file": f"{split}/part-{number:05d}.parquet",
                    "keys": part.key.tolist(),
                    "ids": part.id.tolist(),
                }
            )
    return planned


def write_shard(
    shard: dict[str, Any], config: "PrepareConfig", source: Storage, output: Storage, counter: ClusterCounter
) -> dict[str, Any]:
    """Convert the photographs of one shard and write it.

    Returns:
        split and file; for a training shard also the indices of its colors in the grid of `ColorCounter`, and their
        counts.
    """
    policy = screening.ResizePolicy(config.size, config.resize)
    exact = shard["split"] in shards.EVALUATION_SPLITS
    keys, ids = list(shard["keys"]), list(shard["ids"])
    colors = ColorCounter()
    tables = []
    for start in range(0, len(keys), _BATCH_SIZE):
        batch = slice(start, start + _BATCH_SIZE)
        pixels = []
        for key, identity, file in zip(keys[batch], ids[batch], fetch_all(source, keys[batch]), strict=True):
            if file.status or screening.content_id(file.data) != identity:
                cause = file.error or "its content has changed"
                raise UserError(f"{source.uri}/{key}: cannot be converted after it was inspected ({cause}); run again")
            pixels.append(screening.to_square(decode(file.data, config.max_pixels), policy))
        table = shards.make_table(keys[batch], ids[batch], np.stack(pixels), exact)
        if shard["split"] == shards.TRAIN:
            colors.add(table.column("ab").chunk(0).to_numpy_ndarray())
        tables.append(table)
        counter.add(len(pixels))
    output.write(shard["file"], shards.encode_shard(pa.concat_tables(tables)))
    found = np.flatnonzero(colors.counts)
    return {
        "split": shard["split"],
        "file": shard["file"],
        "colors": found.astype(np.int32),
        "counts": colors.counts.reshape(-1)[found],
    }
