"""Ray tasks of `prepare`: screening of photographs, and writing of shards."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

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

BATCH_SIZE = 64
"""Photographs per task of the screening, and per read of the writing."""

_COUNT_STEP = 8  # photographs between two counts: a block of 64 takes many seconds, in which progress would stand still

Item = TypeVar("Item")


def inspect_rows(batch: pa.Table, config: "PrepareConfig", source: Storage, counter: ClusterCounter) -> pa.Table:
    """Screen the photographs of a batch of manifest rows; return key, split, id, reason and detail of each."""
    keys = batch.column("key").to_pylist()
    files = zip(keys, fetch_all(source, keys), strict=True)
    return pa.Table.from_pylist([_inspect(key, file, config) for key, file in _counted(files, counter)])


def _counted(items: Iterable[Item], counter: ClusterCounter) -> Iterator[Item]:
    """Yield items, and add those that the caller is done with to the counter, in steps."""
    done = 0
    for item in items:
        yield item
        done += 1
        if done == _COUNT_STEP:
            counter.add(done)
            done = 0
    if done:
        counter.add(done)


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
    for start in range(0, len(keys), BATCH_SIZE):
        batch = slice(start, start + BATCH_SIZE)
        pixels = []
        files = zip(keys[batch], ids[batch], fetch_all(source, keys[batch]), strict=True)
        for key, identity, file in _counted(files, counter):
            if file.status or screening.content_id(file.data) != identity:
                cause = file.error or "its content has changed"
                raise UserError(f"{source.uri}/{key}: cannot be converted after it was inspected ({cause}); run again")
            pixels.append(screening.to_square(decode(file.data, config.max_pixels), policy))
        table = shards.make_table(keys[batch], ids[batch], np.stack(pixels), exact)
        if shard["split"] == shards.TRAIN:
            colors.add(table.column("ab").chunk(0).to_numpy_ndarray())
        tables.append(table)
    output.write(shard["file"], shards.encode_shard(pa.concat_tables(tables)))
    found = np.flatnonzero(colors.counts)
    return {
        "split": shard["split"],
        "file": shard["file"],
        "colors": found.astype(np.int32),
        "counts": colors.counts.reshape(-1)[found],
    }
