"""What `archive` runs beside its actors: keys to bytes, and rows made safe.

Nothing here imports torch: the processes that fetch and stage start in a fraction of an actor's time and memory.
"""

import pyarrow as pa

from cluster.storage.s3 import take_retries
from cluster.storage.stores import Storage
from colorize_core.runtime.stage_timer import FETCH, StageTimer
from jobs.archive.rows import stage
from jobs.inputs.fetch import fetch_all
from jobs.run import prometheus as metrics
from jobs.run.progress import Progress


def fetch(batch: pa.Table, source: Storage, progress: Progress, run: str) -> pa.Table:
    """Add the bytes of each key, or the status missing or read_error and why; `run` is the label of metrics."""
    clock = StageTimer()
    with clock.time(FETCH):
        files = fetch_all(source, batch.column("key").to_pylist())
    spent = clock.pop()
    progress.spend(spent)
    metrics.record_stages(run, spent, len(files))
    metrics.INPUT_BYTES.record(run, sum(len(file.data) for file in files))
    metrics.RETRIES.record(run, take_retries())
    return pa.table(
        {
            "key": batch.column("key"),
            "data": pa.array([file.data for file in files], pa.binary()),
            "status": pa.array([file.status for file in files], pa.string()),
            "error": pa.array([file.error for file in files], pa.string()),
        }
    )


def stage_rows(rows: pa.Table, output: Storage, folder: str, part: int) -> pa.Table:
    """Make the rows of a block safe; returns how many pictures there are, and their bytes."""
    stage(output, folder, part, rows)
    sizes = rows.column("output_bytes").drop_null().to_pylist()
    return pa.table({"images": [len(sizes)], "output_bytes": [sum(sizes)]})
