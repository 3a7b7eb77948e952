"""Runs made by hand, for tests of reports: nothing is colored, so that they are there at once."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from cluster.storage.stores import LocalStorage, Storage
from jobs.archive.actor import ROW_SCHEMA
from jobs.archive.rows import METRICS
from jobs.run.parquet import parquet_bytes

SCRIPT = "window.hacked = true"
HOSTILE_KEYS = (
    f"box/<script>{SCRIPT}</script>",
    f'box/"><img src=x onerror="{SCRIPT}">.png',
    "box/quote's & 100% #1?.png",
    "glass/ünïcödé 写真 \u202egnp.png",
)
HOSTILE_TEXT = f"</script><script>{SCRIPT}</script>"


def picture(number: int, size: tuple[int, int] = (48, 36)) -> bytes:
    """A color gradient as a PNG, another one for each number."""
    x, y = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    rgb = np.stack([x, y, np.full_like(x, (number * 37 % 100) / 100)], axis=-1)
    sink = io.BytesIO()
    Image.fromarray((rgb * 255).astype(np.uint8)).save(sink, "PNG")
    return sink.getvalue()


def archive_rows(count: int) -> list[dict[str, object]]:
    """Rows of good pictures, chroma rising with the number, then hostile keys, then two failures."""
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
    """An archive run as the job leaves it."""
    record = {
        "verb": "archive",
        "status": "done",
        "started": "2024-05-01T10:00:00+00:00",
        "finished": "2024-05-01T10:01:00+00:00",
        "config": {"source": source, "checkpoint": f"models/{HOSTILE_TEXT}", "storage": {"region": None}},
        "inputs": {"checkpoint": "0" * 64},
        "versions": {"python": "3.11"},
        "ignored": 2,
        "seconds": 60.0,
        "worked": len(rows),
        "stages": {"fetch": 4.0, "decode": 2.0, "infer": 32.0, "put": 2.0},
        "pace": {"seconds": 0.5, "output_bytes": 1900.0, "gpus": 0.0, "measured": "measured on 20 photographs"},
    }
    output.write("run.json", json.dumps(record).encode())
    output.write(f"{METRICS}/part-00000.parquet", parquet_bytes(pa.Table.from_pylist(rows, ROW_SCHEMA)))
    if listed is not None:
        output.write(
            "_state/listing.json", json.dumps({"count": listed, "ignored": 2, "bytes": 1, "parts": 1}).encode()
        )
    for number, row in enumerate(rows):
        if row["output_key"]:
            output.write(f"images/{row['output_key']}", picture(number))


def gray_source(folder: Path, rows: list[dict[str, object]]) -> str:
    """The photographs such a run was made from, in gray."""
    store = LocalStorage(str(folder))
    for number, row in enumerate(rows):
        if row["output_key"]:
            sink = io.BytesIO()
            Image.open(io.BytesIO(picture(number))).convert("L").save(sink, "PNG")
            store.write(str(row["key"]), sink.getvalue())
    return str(folder)


def data_of(page: Path | str) -> dict:
    """What the page's scripts work from."""
    text = page if isinstance(page, str) else page.read_text()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])
