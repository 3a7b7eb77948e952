"""Actor of `archive`: turns file contents into color images and rows.

torch is imported inside functions, which run in the processes of the actors: the driver only refers to the class.
"""

import json
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cluster.storage.retries import take_retries
from cluster.storage.stores import Storage
from colorize_core.errors import UserError
from colorize_core.inference.settings import PhotoSettings
from colorize_core.photo.formats import output_format, output_key
from colorize_core.provenance.content_credentials import SigningError
from colorize_core.runtime.memory import retain_freed_memory
from colorize_core.runtime.stage_timer import PUT, StageTimer, add_stages
from colorize_core.status import Status
from jobs.archive.config import IMAGES, ArchiveConfig
from jobs.archive.rows import stage
from jobs.archive.settings import SettingsResolver, encode
from jobs.inputs.fetch import THREADS
from jobs.run import prometheus as metrics
from jobs.run.checkpoints import open_checkpoint
from jobs.run.credentials import open_content_credentials
from jobs.run.progress import ClusterCounter

if TYPE_CHECKING:
    from colorize_core.colorizer import ColorizedPhoto, Colorizer

MAX_CONCURRENT_BATCHES = 2
"""Maximum concurrent batches per actor."""

_FROM_RESULT = ("status", "error", "note", "width", "height", "source_format", "bit_depth", "is_color", "tone")
_SCORES = ("mean_chroma", "gamut_clipped", "max_lightness_error", "mae_ab", "psnr", "ssim", "disagreement")

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
        ("tone", pa.string()),
        ("settings", pa.string()),
        *((name, pa.float64()) for name in _SCORES),
    ]
)
"""Columns of OUTPUT/metrics. `output_key` is relative to OUTPUT/images, null without a color image;
`max_lightness_error` is the error of L in units of 1/255 of its range; `mae_ab`, `psnr` and `ssim` are null for gray
inputs, which have no reference; `disagreement` is null without an ensemble; `settings` is JSON of the settings that
differ from the defaults, null if none does."""


def load_colorizer(config: ArchiveConfig) -> "Colorizer":
    """Load the checkpoints of a run with the settings of an actor."""
    from colorize_core.colorizer import Colorizer

    device = "cuda" if config.actors.gpus else "cpu"
    settings: dict[str, Any] = {
        "upsampling": config.upsampling,
        "precision": config.precision,
        "engine": config.engine,
        "threads": max(int(config.actors.cpus), 1),
    }
    if isinstance(config.checkpoint, str):
        checkpoint = open_checkpoint(config.checkpoint, config.storage)
        return Colorizer.load(checkpoint.path(), device, checkpoint.filesystem, **settings)
    stores = {name: open_checkpoint(location, config.storage) for name, location in config.checkpoint.items()}
    members = {name: (store.path(), store.filesystem) for name, store in stores.items()}
    return Colorizer.load_ensemble(members, config.ensemble, device, **settings)


def colorize(
    colorizer: "Colorizer",
    config: ArchiveConfig,
    keys: Sequence[str],
    contents: Sequence[bytes],
    settings: Sequence[PhotoSettings],
    sidecars: Sequence[bytes | None] | None = None,
) -> "list[ColorizedPhoto]":
    """Colorize the contents of keys as configured, with the settings of each; return one result per key, in order."""
    return colorizer.colorize(
        contents,
        [output_format(key, config.format) for key in keys],
        on_color=config.on_color,
        on_truncated=config.on_truncated,
        encoding=config,
        max_pixels=config.max_pixels,
        max_memory=config.max_memory,
        sidecars=sidecars,
        settings=settings,
    )


class ColorizeActor:
    """Holds the model; colorizes a batch, writes each color image, and then stages a row for every key.

    An interrupted run repeats at most the batches in progress. `MAX_CONCURRENT_BATCHES` threads call it: one colorizes
    while the others wait for storage.
    """

    def __init__(self, config: ArchiveConfig, output: Storage, counter: ClusterCounter, folder: str, part: int) -> None:
        """Load the checkpoint; color images go to OUTPUT/images, rows to the staged ones of a part in `folder`."""
        retain_freed_memory()
        self._load_error: UserError | None = None
        try:
            self._colorizer = load_colorizer(config)
            self._credentials = open_content_credentials(config.content_credentials, config.storage)
        except UserError as error:
            self._load_error = error  # raised by the first batch: from a constructor only its text reaches the driver
        self._config, self._output, self._images = config, output, output.child(IMAGES)
        self._settings = SettingsResolver.of(config)
        self._counter, self._folder, self._part = counter, folder, part
        self._model_lock = threading.Lock()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Colorize rows of `fetch`; return one row with the number of color images and their bytes."""
        from colorize_core.colorizer import ColorizedPhoto

        if self._load_error:
            raise self._load_error
        self._counter.start()
        keys, contents = batch.column("key").to_pylist(), batch.column("data").to_pylist()
        results = [
            ColorizedPhoto(Status(status), error=error) if status else None
            for status, error in zip(batch.column("status").to_pylist(), batch.column("error").to_pylist(), strict=True)
        ]
        readable = [index for index, result in enumerate(results) if result is None]
        given = [json.loads(text) if text else {} for text in batch.column("settings").to_pylist()]
        settings = [self._settings.resolve(key, own) for key, own in zip(keys, given, strict=True)]
        sidecars = batch.column("sidecar").to_pylist()
        taken: list[list[Any]] = [[each[index] for index in readable] for each in (keys, contents, settings, sidecars)]
        with self._model_lock:
            colorized = colorize(self._colorizer, self._config, *taken)
            seconds = self._colorizer.stages.pop()
        for index, result in zip(readable, colorized, strict=True):
            results[index] = result
        timer = StageTimer()
        with timer.time(PUT), ThreadPoolExecutor(THREADS) as pool:
            rows = list(pool.map(self._write, keys, contents, map(encode, settings), results))
            stage(self._output, self._folder, self._part, pa.Table.from_pylist(rows, ROW_SCHEMA))
        seconds = add_stages([seconds, timer.pop()])
        self._counter.add_seconds(seconds)
        self._counter.add(len(rows))
        self._record(rows, seconds)
        sizes = [row["output_bytes"] for row in rows if row["output_key"]]
        return pa.table({"images": [len(sizes)], "output_bytes": [sum(sizes)]})

    def _record(self, rows: Sequence[dict[str, Any]], seconds: dict[str, float]) -> None:
        metrics.record_stages(self._output.uri, seconds, len(rows))
        for status, count in Counter(row["status"] for row in rows).items():
            metrics.IMAGES.record(self._output.uri, count, status)
        metrics.OUTPUT_BYTES.record(self._output.uri, sum(row.get("output_bytes", 0) for row in rows))
        metrics.RETRIES.record(self._output.uri, take_retries())

    def _write(self, key: str, data: bytes, settings: str | None, result: "ColorizedPhoto") -> dict[str, Any]:
        """Write the color image of a key, if there is one; return the row."""
        row: dict[str, Any] = {
            "key": key,
            "output_key": None,
            "input_bytes": len(data),
            "settings": settings,
            **{name: getattr(result, name) for name in _FROM_RESULT},
            **{name: result.scores.get(name) for name in _SCORES},
        }
        if result.image is None:
            return row
        target, content_type, image = key, None, result.image
        try:
            if result.status != Status.SKIPPED_COLOR:  # else an unchanged copy
                target = output_key(key, self._config.format)
                format = output_format(target, "same")
                content_type = f"image/{format}"
                if self._credentials:
                    made = self._colorizer.provenance
                    image = self._credentials.sign(image, format, data, result.source_format, key, made)
            self._images.write(target, image, content_type)
        except (OSError, SigningError) as error:
            return row | {"status": Status.WRITE_ERROR, "error": str(error)}
        return row | {"output_key": target, "output_bytes": len(image)}
