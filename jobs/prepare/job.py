"""`colorize prepare`: convert color photographs to Lab shards."""

import hashlib
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from cluster.config.command_line import DONE
from cluster.session import ray_session
from cluster.storage.stores import Storage, open_storage, reach
from colorize_core.errors import UserError
from colorize_core.formatting import counted
from jobs.command.console import summary
from jobs.doctor.preflight import check_start
from jobs.inputs.listing import Listing, part_key, require_photographs, write_manifest
from jobs.prepare.config import PrepareConfig
from jobs.run.parquet import parquet_bytes, parquet_dataset
from jobs.run.requirements import Requirements, ResourceRequest

if TYPE_CHECKING:
    import pandas as pd

CONFIG = PrepareConfig
_ADVICE = "the same command starts again"
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")
_SPLIT_PRIORITY = {"test": 0, "val": 1, "train": 2}  # of identical files the one in an evaluation split is kept

_log = logging.getLogger(__name__)


def plan(config: PrepareConfig) -> str:
    """Describe what would run."""
    source, output = check_inputs(config)
    return f"prepare would read the photographs in {source.uri} and write {config.size} px shards to {output.uri}"


def run(config: PrepareConfig, verbose: bool = False) -> int:
    """List, screen, deduplicate and split the photographs, then write the shards.

    The dataset is complete when dataset.json exists.

    Args:
        config: configuration of the dataset.
        verbose: show Ray's log.

    Returns:
        DONE.

    Raises:
        UserError: source or output cannot be used, or no photograph can.
        ClusterError: Ray or the storage failed, or there was no progress for `stall_seconds`.
    """
    from colorize_core.data import shards

    source, output = check_inputs(config)
    _require_free(output)
    listing = write_manifest(source, output, _SUFFIXES, config.listing, config.storage)
    _log.info("%d photographs in %s", listing.count, source.uri)
    with ray_session(config.ray, verbose=verbose):
        check_start(requirements(config))
        inspected = _inspect(config, source, output, listing)
        rejects = _reject(inspected, duplicates=config.screen)
        accepted = inspected[inspected.reason == ""].sort_values(["id", "key"])
        if accepted.empty:
            raise UserError(
                f"{source.uri}: none of {listing.count} photographs can be used ({_reasons(rejects.reason)})"
            )
        files, colors = _write_shards(config, source, output, accepted)
    output.write("rejects.parquet", _rejects_file(rejects))
    info = shards.DatasetInfo(
        size=config.size,
        resize=config.resize,
        splits={
            name: {"rows": int((accepted.split == name).sum()), "files": files.get(name, [])} for name in shards.SPLITS
        },
        rejects=_counts(rejects.reason),
        source=source.uri,
        fingerprint=_fingerprint(accepted),
        ab_median=colors.median(),
        color_prior=colors.prior(),
        config=config.model_dump(mode="json"),
    )
    output.write(shards.DATASET_FILE, info.to_json(), "application/json")
    _summarize(config, output, info, listing)
    return DONE


def requirements(config: PrepareConfig) -> Requirements:
    """Return the processes and locations that a run requires."""
    source, output = (open_storage(location, config.storage) for location in (config.source, config.output))
    return Requirements(
        ResourceRequest("tasks", 1, 1.0, 0.0), reads={"source": (source, None)}, writes={"output": output}
    )


def check_inputs(config: PrepareConfig) -> tuple[Storage, Storage]:
    """Validate everything that can be validated without Ray; return source and output."""
    source, output = reach(config.storage, config.source, config.output)
    require_photographs(source, _SUFFIXES, config.listing, config.storage)
    return source, output


def _require_free(output: Storage) -> None:
    from colorize_core.data.shards import DATASET_FILE

    if output.exists(DATASET_FILE):
        raise UserError(f"{output.uri}: already contains a dataset; use another output, or delete it first")
    first = next(iter(output.list()), None)
    if first is not None and not first.key.startswith(("_state/", "test/", "train/", "val/")):
        raise UserError(f"{output.uri}: the output is not empty ({first.key}); use another output")


def _inspect(config: PrepareConfig, source: Storage, output: Storage, listing: Listing) -> "pd.DataFrame":
    """Return key, split, id, reason and detail of each photograph; pixels stay in the workers."""
    import pandas as pd

    from jobs.prepare.tasks import BATCH_SIZE, inspect_rows
    from jobs.run.progress import ClusterCounter

    counter = ClusterCounter()
    manifest = [part_key(part) for part in range(listing.parts)]
    rows = parquet_dataset(output, manifest, ["key"], BATCH_SIZE).map_batches(
        inspect_rows,
        batch_size=BATCH_SIZE,
        batch_format="pyarrow",
        fn_kwargs={"config": config, "source": source, "counter": counter},
    )
    with counter.follow(rows, "inspected", listing.count, config.stall_seconds, _ADVICE):
        parts = list(rows.iter_batches(batch_size=None, batch_format="pandas"))
    return pd.concat(parts, ignore_index=True)


def _reject(inspected: "pd.DataFrame", *, duplicates: bool) -> "pd.DataFrame":
    """Mark all but one of identical files as duplicates, in place, if `duplicates`; return all rejected rows.

    The file in the split with the highest priority is kept, then the one with the first key: the result does not depend
    on the order of the rows.
    """
    if duplicates:
        usable = inspected[inspected.reason == ""]
        order = usable.assign(rank=usable.split.map(_SPLIT_PRIORITY)).sort_values(["rank", "key"])
        first = order.groupby("id").key.transform("first")
        copies = order.index[order.key != first]
        inspected.loc[copies, "reason"] = "duplicate"
        inspected.loc[copies, "detail"] = "same bytes as " + first[copies]
    rejects = inspected[inspected.reason != ""].sort_values("key", ignore_index=True)
    return rejects[["key", "split", "reason", "detail", "id"]]


def _write_shards(
    config: PrepareConfig, source: Storage, output: Storage, accepted: "pd.DataFrame"
) -> tuple[dict[str, list[str]], Any]:
    """Write each shard in its own task; return the files by split, and the `ColorCounter` of the training split."""
    import numpy as np
    import ray

    from colorize_core.color.prior import ColorCounter
    from jobs.prepare.tasks import plan_shards, write_shard
    from jobs.run.progress import ClusterCounter

    counter = ClusterCounter()
    shards = plan_shards(accepted, config.rows_per_shard)
    results = ray.data.from_items(shards, override_num_blocks=len(shards)).map(
        write_shard, fn_kwargs={"config": config, "source": source, "output": output, "counter": counter}
    )
    files: dict[str, list[str]] = {}
    colors = ColorCounter()
    with counter.follow(results, "converted", len(accepted), config.stall_seconds, _ADVICE):
        for row in results.iter_rows():
            files.setdefault(row["split"], []).append(row["file"])
            np.add.at(colors.counts.reshape(-1), row["colors"], row["counts"])
    return {split: sorted(names) for split, names in files.items()}, colors


def _rejects_file(rejects: "pd.DataFrame") -> bytes:
    import pyarrow as pa

    schema = pa.schema([(name, pa.string()) for name in rejects.columns])
    return parquet_bytes(pa.Table.from_pandas(rejects, schema, preserve_index=False))


def _fingerprint(accepted: "pd.DataFrame") -> str:
    lines = "\n".join(f"{identity} {split}" for identity, split in zip(accepted.id, accepted.split, strict=True))
    return hashlib.sha256(lines.encode()).hexdigest()


def _counts(reasons: "pd.Series") -> dict[str, int]:
    return dict(sorted(Counter(reasons).items()))


def _reasons(reasons: "pd.Series") -> str:
    return ", ".join(f"{reason} {count}" for reason, count in _counts(reasons).items())


def _summarize(config: PrepareConfig, output: Storage, info: Any, listing: Listing) -> None:
    facts: list[tuple[str, object]] = [
        (split, f"{counted(entry['rows'], 'photograph')} in {counted(len(entry['files']), 'shard')}")
        for split, entry in info.splits.items()
    ]
    rejected = ", ".join(f"{reason} {count}" for reason, count in info.rejects.items())
    facts.append(("rejected", f"{sum(info.rejects.values())} ({rejected})" if rejected else "0"))
    if excluded := listing.describe_excluded():
        facts.append(("excluded", excluded))
    facts.append(("median color", "a {:.0f}, b {:.0f}".format(*info.ab_median)))
    facts.append(("dataset", f"{output.uri} (rejects.parquet lists the rejected files)"))
    summary(f"prepared {config.size} px Lab shards", facts)
