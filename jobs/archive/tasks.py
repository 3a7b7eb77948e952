"""Ray task of `archive`: reading the photographs.

Nothing here imports torch, Ray Data or the configuration: the processes of the task start in a fraction of the time and
memory of an actor.
"""

import pyarrow as pa

from cluster.storage.retries import take_retries
from cluster.storage.stores import Storage
from colorize_core.runtime.stage_timer import FETCH, StageTimer
from colorize_core.status import Status
from jobs.inputs.fetch import fetch_all
from jobs.inputs.sidecars import fetch_sidecars
from jobs.run import prometheus as metrics
from jobs.run.progress import ClusterCounter


def fetch(batch: pa.Table, source: Storage, counter: ClusterCounter, run: str, *, sidecars: bool = False) -> pa.Table:
    """Read the files of a batch of keys.

    Args:
        batch: rows of the manifest; the columns `key` and `settings` are used.
        source: location of the photographs.
        counter: receives the seconds of the stage.
        run: label of the Prometheus metrics.
        sidecars: read XMP sidecars too; where one cannot be read, the photograph counts as not read.

    Returns:
        Columns `key`, `data`, `status` (missing or read_error; null if the file was read), `error`, `sidecar` and
        `settings`.
    """
    timer = StageTimer()
    keys = batch.column("key").to_pylist()
    with timer.time(FETCH):
        files = fetch_all(source, keys)
        packets: list[bytes | None] = [None] * len(keys)
        if sidecars:
            found = fetch_sidecars(source, keys)
            packets = [None if sidecar.status else sidecar.data for sidecar in found]
            unreadable = (sidecar.status == Status.READ_ERROR for sidecar in found)
            files = [
                sidecar if lost and not file.status else file
                for file, sidecar, lost in zip(files, found, unreadable, strict=True)
            ]
    seconds = timer.pop()
    counter.add_seconds(seconds)
    metrics.record_stages(run, seconds, len(files))
    metrics.INPUT_BYTES.record(run, sum(len(file.data) for file in files))
    metrics.RETRIES.record(run, take_retries())
    return pa.table(
        {
            "key": batch.column("key"),
            "data": pa.array([file.data for file in files], pa.binary()),
            "status": pa.array([file.status for file in files], pa.string()),
            "error": pa.array([file.error for file in files], pa.string()),
            "sidecar": pa.array(packets, pa.binary()),
            "settings": batch.column("settings"),
        }
    )
