"""The actor of `archive`: bytes to pictures and rows.

torch is imported where it is used, in the actors' own processes: the driver names the class and needs none of it.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cluster.storage.s3 import take_retries
from cluster.storage.stores import Storage
from colorize_core.errors import UserError
from colorize_core.photo.formats import output_format, output_key
from colorize_core.runtime.memory import retain_freed_memory
from colorize_core.runtime.stage_timer import PUT, StageTimer, add_stages
from jobs.archive.config import IMAGES, ArchiveConfig
from jobs.inputs.fetch import THREADS
from jobs.run import prometheus as metrics
from jobs.run.checkpoints import open_checkpoint
from jobs.run.progress import Progress

if TYPE_CHECKING:
    from colorize_core.colorizer import ColorizedPhoto, Colorizer

MAX_CONCURRENT_BATCHES = 2
"""Batches that an actor has in hand at a time."""

_SCORES = ("mean_chroma", "gamut_clipped", "max_lightness_error", "mae_ab", "psnr", "ssim")

ROW_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("note", pa.string()),
        ("output_key", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("source_format", pa.string()),
        ("bit_depth", pa.int32()),
        ("input_bytes", pa.int64()),
        ("output_bytes", pa.int64()),
        ("is_color", pa.bool_()),
        *((name, pa.float64()) for name in _SCORES),
    ]
)
"""Columns of OUTPUT/metrics. The output key is relative to OUTPUT/images, null where there is no picture;
max_lightness_error is of L in levels of 255; mae_ab, psnr and ssim are null for gray inputs, which have no truth."""


def load_colorizer(config: ArchiveConfig) -> "Colorizer":
    """The checkpoint of a run, ready for work as an actor does it."""
    from colorize_core.colorizer import Colorizer

    checkpoint = open_checkpoint(config.checkpoint, config.storage)
    return Colorizer.load(
        checkpoint.path(),
        "cuda" if config.actors.gpus else "cpu",
        checkpoint.filesystem,
        working_size=config.working_size,
        upsampling=config.upsampling,
        precision=config.precision,
        threads=max(int(config.actors.cpus), 1),
    )


def colorize(
    colorizer: "Colorizer", config: ArchiveConfig, keys: Sequence[str], contents: Sequence[bytes]
) -> "list[ColorizedPhoto]":
    """Color the contents of keys as a run is configured; one result each, in order."""
    from colorize_core.photo.encode import Encoding

    return colorizer.colorize(
        contents,
        [output_format(key, config.format) for key in keys],
        on_color=config.on_color,
        encoding=Encoding(config.quality, config.subsampling, config.compression, config.bit_depth),
        max_pixels=config.max_pixels,
        max_memory=config.max_memory,
    )


class ColorizeActor:
    """Holds the model; colors a batch, writes each picture, and returns a row for every key.

    Called by `MAX_CONCURRENT_BATCHES` threads: one colors while others wait for the store.
    """

    def __init__(self, config: ArchiveConfig, output: Storage, progress: Progress) -> None:
        """Load the checkpoint; pictures go to OUTPUT/images."""
        retain_freed_memory()
        self._mistake: UserError | None = None
        try:
            self._colorizer = load_colorizer(config)
        except UserError as error:
            self._mistake = error  # for the first batch: what a constructor raises reaches the driver as text alone
        self._config, self._images, self._progress = config, output.child(IMAGES), progress
        self._run = output.uri
        self._turn = threading.Lock()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Rows of `fetch` to rows of `ROW_SCHEMA`."""
        from colorize_core.colorizer import ColorizedPhoto

        if self._mistake:
            raise self._mistake
        keys, contents = batch.column("key").to_pylist(), batch.column("data").to_pylist()
        statuses, errors = batch.column("status").to_pylist(), batch.column("error").to_pylist()
        readable = [index for index, status in enumerate(statuses) if not status]
        own_keys, own_contents = ([each[index] for index in readable] for each in (keys, contents))
        with self._turn:
            done = colorize(self._colorizer, self._config, own_keys, own_contents)
            spent = self._colorizer.stages.pop()
        results = [ColorizedPhoto(status, error=error) for status, error in zip(statuses, errors, strict=True)]
        for index, result in zip(readable, done, strict=True):
            results[index] = result
        clock = StageTimer()
        with clock.time(PUT), ThreadPoolExecutor(THREADS) as pool:
            rows = list(pool.map(self._write, keys, contents, results))
        spent = add_stages([spent, clock.pop()])
        self._progress.spend(spent)
        self._progress.add(len(rows))
        self._record(rows, spent)
        return pa.Table.from_pylist(rows, ROW_SCHEMA)

    def _record(self, rows: Sequence[dict[str, Any]], spent: dict[str, float]) -> None:
        metrics.record_stages(self._run, spent, len(rows))
        for status, count in Counter(row["status"] for row in rows).items():
            metrics.IMAGES.record(self._run, count, status)
        metrics.OUTPUT_BYTES.record(self._run, sum(row.get("output_bytes", 0) for row in rows))
        metrics.RETRIES.record(self._run, take_retries())

    def _write(self, key: str, data: bytes, result: "ColorizedPhoto") -> dict[str, Any]:
        """Put the picture where it belongs; returns the row."""
        row: dict[str, Any] = {
            "key": key,
            "status": result.status,
            "error": result.error,
            "note": result.note,
            "output_key": None,
            "width": result.width,
            "height": result.height,
            "source_format": result.source_format,
            "bit_depth": result.bit_depth,
            "input_bytes": len(data),
            "is_color": result.is_color,
            **{name: result.scores.get(name) for name in _SCORES},
        }
        if result.image is None:
            return row
        copied = result.status == "skipped_color"
        target = key if copied else output_key(key, self._config.format)
        content_type = None if copied else f"image/{output_format(key, self._config.format)}"
        try:
            self._images.write(target, result.image, content_type)
        except OSError as error:
            return row | {"status": "write_error", "error": str(error)}
        return row | {"output_key": target, "output_bytes": len(result.image)}
