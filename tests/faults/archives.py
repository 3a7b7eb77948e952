"""Archives with broken photographs, and the rows and images of a run."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cluster.storage.stores import Storage
from jobs.archive.rows import read_rows

_SIDE = 64


def encoded(image: Image.Image, format: str = "JPEG", **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, format, **options)
    return sink.getvalue()


def photographs(paths: list[Path], count: int) -> dict[str, bytes]:
    """Return small photographs by key, all different, in folders of 50; every third is gray, every fifth a PNG."""
    files = {}
    sources = [Image.open(path).convert("RGB") for path in paths]
    for number in range(count):
        source = sources[number % len(sources)]
        shift = 7 * (number // len(sources)) % (min(source.size) - _SIDE)
        image = source.crop((shift, shift, shift + _SIDE, shift + _SIDE + number % 3))
        image = image.convert("L") if number % 3 == 0 else image
        ending, format = ("png", "PNG") if number % 5 == 0 else ("jpg", "JPEG")
        files[f"{number // 50:03d}/{number:05d}.{ending}"] = encoded(image, format)
    return files


def break_some(files: Mapping[str, bytes], share: float) -> tuple[dict[str, bytes], dict[str, str]]:
    """Break a share of the photographs in eight ways; return all files, and the expected status of the broken ones."""
    broken, expected = dict(files), {}
    for number, key in enumerate(list(files)[:: round(1 / share)]):
        broken[key], expected[key] = _break(number % 8, files[key])
    return broken, expected


def _break(way: int, data: bytes) -> tuple[bytes, str]:
    image = Image.open(io.BytesIO(data))
    if way < 5:
        jpeg, png = encoded(image), encoded(image, "PNG")
        return (
            (b"", "empty"),
            (jpeg[: len(jpeg) * 2 // 3], "truncated"),
            (b"The plate is missing from this folder.\n", "not_an_image"),
            (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "not_an_image"),
            (png[: len(png) * 2 // 3], "truncated"),
        )[way]
    if way == 5:
        return bytes(4096), "not_an_image"
    if way == 6:  # a valid file with the wrong extension
        return encoded(image, "WEBP"), "ok"
    return encoded(image, exif=b"Exif\0\0II*\0\xff\xff\xff\xff", icc_profile=b"no profile" * 20), "ok"


def rows_of(output: Storage) -> pd.DataFrame:
    """Return all rows, sorted by key."""
    tables = [table.to_pandas() for table in read_rows(output)]
    return pd.concat(tables).sort_values("key", ignore_index=True)


def images_of(output: Storage) -> dict[str, str]:
    """Return the SHA-256 of every color image by its key."""
    images = output.child("images")
    return {entry.key: hashlib.sha256(images.read(entry.key)).hexdigest() for entry in images.list()}


def assert_same_rows(output: Storage, reference: Storage) -> None:
    """Check that two runs wrote the same rows, see `assert_same_images`; file sizes differ with single pixels."""
    pd.testing.assert_frame_equal(rows_of(output), rows_of(reference), check_exact=False, rtol=0.01)


def assert_same_images(output: Storage, reference: Storage) -> None:
    """Check that two runs wrote the same images.

    A convolution's sums differ in the last bit with the photographs that share a batch, and these depend on the order
    in which files arrive. A color on the border of two levels then falls to either side, so that a file may differ.
    """
    found, expected = images_of(output), images_of(reference)
    assert found.keys() == expected.keys()
    for key in found:
        if found[key] != expected[key]:
            ours, theirs = (_pixels(storage.child("images").read(key)) for storage in (output, reference))
            assert ours.shape == theirs.shape
            assert np.abs(ours - theirs).mean() < 0.05  # levels of 255


def _pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=np.float64)
