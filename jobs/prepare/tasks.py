"""What `prepare` runs in Ray's workers: bytes in, verdicts and shards out."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from cluster.storage.stores import Storage
from colorize_core.color.prior import ColorCounter
from colorize_core.data import screening as ingest
from colorize_core.data import shards
from colorize_core.errors import UserError
from colorize_core.photo.decode import decode
from jobs.inputs.fetch import fetch_all
from jobs.run.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

    from jobs.prepare.config import PrepareConfig

_ROWS_AT_ONCE = 64


def inspect_rows(batch: pa.Table, config: "PrepareConfig", source: Storage, progress: Progress) -> pa.Table:
    """Decide about each photograph of a batch of manifest rows."""
    rule = ingest.ResizePolicy(config.size, config.resize)
    keys = batch.column("key").to_pylist()
    rows = []
    for key, file in zip(keys, fetch_all(source, keys), strict=True):
        if file.status:
            verdict = ingest.ScreeningResult("", file.status, file.error)
        else:
            verdict = ingest.screen(file.data, rule, config.max_pixels)
        reason, detail = verdict.reason, verdict.detail
        split = (
            ingest.split_by_folder(key)
            if config.split == "folders"
            else ingest.split_by_hash(verdict.id, config.val_fraction, config.test_fraction)
            if verdict.id
            else None
        )
        if not reason and split is None:
            reason, detail = "no_split", "not in a folder named train, val or test"
        rows.append({"key": key, "split": split or "", "id": verdict.id, "reason": reason, "detail": detail})
    progress.add(len(rows))
    return pa.Table.from_pylist(rows)


def plan_shards(accepted: "pd.DataFrame", rows_per_shard: int) -> list[dict[str, Any]]:
    """Cut each split, in the order of the rows, into shards: file, split, keys and ids."""
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
    shard: dict[str, Any], config: "PrepareConfig", source: Storage, output: Storage, progress: Progress
) -> dict[str, Any]:
    """Convert and write one shard; returns its file and, of training shards, the counts of their colors."""
    rule = ingest.ResizePolicy(config.size, config.resize)
    exact = shard["split"] in shards.EVALUATION_SPLITS
    keys, ids = list(shard["keys"]), list(shard["ids"])
    colors = ColorCounter()
    tables = []
    for start in range(0, len(keys), _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        pixels = []
        for key, identity, file in zip(keys[some], ids[some], fetch_all(source, keys[some]), strict=True):
            if file.status or ingest.content_id(file.data) != identity:
                why = file.error or "its content changed"
                raise UserError(f"{source.uri}/{key}: cannot be converted after it was inspected ({why}); run again")
            pixels.append(ingest.to_square(decode(file.data, config.max_pixels), rule))
        table = shards.make_table(keys[some], ids[some], np.stack(pixels), exact)
        if shard["split"] == shards.TRAIN:
            colors.add(table.column("ab").chunk(0).to_numpy_ndarray())
        tables.append(table)
        progress.add(len(pixels))
    output.write(shard["file"], shards.encode_shard(pa.concat_tables(tables)))
    found = np.flatnonzero(colors.counts)
    return {
        "split": shard["split"],
        "file": shard["file"],
        "colors": found.astype(np.int32),
        "counts": colors.counts.reshape(-1)[found],
    }
