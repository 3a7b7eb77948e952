"""Outputs of runs for tests of reports, written without Ray and without coloring an archive."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from cluster.storage.stores import LocalStorage, Storage, StorageOptions
from colorize_core.checkpoint.config import read_checkpoint_config
from colorize_core.data.shards import DatasetInfo, encode_shard, make_table
from colorize_core.evaluation import scoring
from colorize_core.evaluation.summary import summarize_scores
from colorize_core.photo.formats import encode_image
from jobs.archive.actor import ROW_SCHEMA
from jobs.archive.rows import METRICS
from jobs.evaluate.models import load_models
from jobs.evaluate.report import PER_IMAGE, RESULT
from jobs.run.parquet import parquet_bytes

SCRIPT = "window.hacked = true"
HOSTILE_KEYS = (
    f"box/<script>{SCRIPT}</script>",
    f'box/"><img src=x onerror="{SCRIPT}">.png',
    "box/quote's & 100% #1?.png",
    "glass/ünïcödé 写真 \u202egnp.png",
)
HOSTILE_TEXT = f"</script><script>{SCRIPT}</script>"


def gradient(number: int, size: tuple[int, int] = (48, 36)) -> bytes:
    """A color gradient as a PNG, a different one for each number."""
    x, y = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    rgb = np.stack([x, y, np.full_like(x, (number * 37 % 100) / 100)], axis=-1)
    return encode_image((rgb * 255).astype(np.uint8), "PNG")


def archive_rows(count: int) -> list[dict[str, object]]:
    """Rows of images with increasing chroma, then of hostile keys, then of two failures."""
    keys = [f"box/{number:03d}.png" for number in range(count)] + [f"{key}.png" for key in HOSTILE_KEYS]
    rows = [
        {
            "key": key,
            "status": "ok",
            "error": "",
            "note": HOSTILE_TEXT if number >= count else "",
            "output_key": key,
            "width": 48,
            "height": 36,
            "source_format": "PNG",
            "bit_depth": 8,
            "input_bytes": 900,
            "output_bytes": 1900,
            "is_color": False,
            "settings": '{"calm": {"violet": 0.5}, "strength": 0.8}' if number == 9 else None,
            "mean_chroma": float(number),
            "gamut_clipped": 0.0,
            "max_lightness_error": 0.5 + number / 100,
        }
        for number, key in enumerate(keys)
    ]
    for key, status in (("broken.jpg", "truncated"), (f"{HOSTILE_TEXT}.jpg", "not_an_image")):
        rows.append({"key": key, "status": status, "error": HOSTILE_TEXT, "output_key": None, "input_bytes": 3})
    return rows


def write_archive_run(output: Storage, source: str, rows: list[dict[str, object]], listed: int | None = None) -> None:
    """Write the output of an archive run."""
    record = {
        "verb": "archive",
        "status": "done",
        "started": "2024-05-01T10:00:00+00:00",
        "finished": "2024-05-01T10:01:00+00:00",
        "config": {"source": source, "checkpoint": f"models/{HOSTILE_TEXT}", "storage": {"region": None}},
        "inputs": {"checkpoint": "0" * 64},
        "versions": {"python": "3.11"},
        "excluded": {".txt": 2},
        "seconds": 60.0,
        "worked": len(rows),
        "stages": {"fetch": 4.0, "decode": 2.0, "infer": 32.0, "put": 2.0},
        "images_per_second": 2.5,
        "pace": {"seconds": 0.5, "output_bytes": 1900.0, "gpus": 0.0, "measured": "measured on 20 photographs"},
    }
    output.write("run.json", json.dumps(record).encode())
    output.write(f"{METRICS}/part-00000.parquet", parquet_bytes(pa.Table.from_pylist(rows, ROW_SCHEMA)))
    if listed is not None:
        output.write(
            "_state/listing.json",
            json.dumps({"count": listed, "excluded": {".txt": 2}, "bytes": 1, "parts": 1}).encode(),
        )
    for number, row in enumerate(rows):
        if row["output_key"]:
            output.write(f"images/{row['output_key']}", gradient(number))


def gray_source(folder: Path, rows: list[dict[str, object]]) -> str:
    """Write the gray photographs of such a run; return their location."""
    store = LocalStorage(str(folder))
    for number, row in enumerate(rows):
        if row["output_key"]:
            photograph = Image.open(io.BytesIO(gradient(number))).convert("L")
            store.write(str(row["key"]), encode_image(photograph, "PNG"))
    return str(folder)


def write_evaluation_run(output: Storage, shards: Storage, checkpoints: dict[str, str], photographs: int) -> None:
    """Write the output of an evaluation on gradients of 32 px, and the shards of these."""
    rgb = np.stack([np.asarray(Image.open(io.BytesIO(gradient(number, (32, 32))))) for number in range(photographs)])
    keys = [f"gradients/{number}.png" for number in range(photographs)]
    shards.write("val/part-00000.parquet", encode_shard(make_table(keys, keys, rgb, exact=True)))
    splits = {"val": {"rows": photographs, "files": ["val/part-00000.parquet"]}}
    dataset = DatasetInfo(32, "crop", splits, {}, "gradients", "fingerprint", (0.0, 0.0), [[0.0, 0.0, 1.0]])
    shards.write("dataset.json", dataset.to_json())
    models = {
        name: (model, own.working_size) for name, (model, own) in load_models(checkpoints, StorageOptions()).items()
    }
    pixels = torch.from_numpy(rgb.transpose(0, 3, 1, 2).copy())
    scores = scoring.Scorer(dataset.color_prior)(scoring.predictions(models, pixels, dataset.ab_median), pixels)
    rows = pa.concat_tables(
        pa.table(
            {"key": keys, "model": [name] * photographs}
            | {metric: values.double().numpy() for metric, values in by_metric.items()}
        )
        for name, by_metric in scores.items()
    )
    result = {
        "split": "val",
        "photographs": photographs,
        "size": 32,
        "shards": dataset.fingerprint,
        "checkpoints": {name: read_checkpoint_config(path).weights_sha256 for name, path in checkpoints.items()},
        "models": summarize_scores(rows, list(scores), checkpoints, [], 100),
        "lpips": "lpips.backbone=none",
        "config": {
            "shards": shards.uri,
            "checkpoint": checkpoints,
            "definitions": [],
            "lpips": {"backbone": "none"},
        },
        "versions": {"python": "3.11"},
        "finished": "2024-05-01T10:01:00+00:00",
    }
    output.write(PER_IMAGE, parquet_bytes(rows))
    output.write(RESULT, json.dumps(result).encode())


def data_of(page: Path | str) -> dict:
    """Return the embedded data of a page."""
    text = page if isinstance(page, str) else page.read_text()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])
