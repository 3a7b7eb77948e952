"""A dataset of many small photographs, so that an epoch lasts long enough to be interrupted."""

from pathlib import Path

import numpy as np
from PIL import Image

from cluster.storage.stores import Storage
from colorize_core.data.shards import DATASET_FILE, DatasetInfo, encode_shard, make_table

_SIDE = 32


def write_dataset(storage: Storage, photo_paths: list[Path], *, train: int, val: int) -> None:
    """Write crops of photographs as a dataset of `prepare`."""
    splits = {}
    for split, count in (("train", train), ("val", val)):
        rgb = np.stack([_crop(photo_paths, number) for number in range(count)])
        names = [f"{split}-{number:05d}" for number in range(count)]
        files = []
        for part, rows in enumerate(np.array_split(np.arange(count), 2)):
            chosen = [names[row] for row in rows]
            table = make_table(chosen, chosen, rgb[rows], exact=split == "val")
            files.append(f"{split}/part-{part:05d}.parquet")
            storage.write(files[-1], encode_shard(table))
        splits[split] = {"rows": count, "files": files}
    info = DatasetInfo(
        size=_SIDE,
        resize="crop",
        splits=splits,
        rejects={},
        source="crops",
        fingerprint=f"{train} and {val} crops",
        ab_median=(0.0, 0.0),
        color_prior=[[0.0, 0.0, 1.0]],
    )
    storage.write(DATASET_FILE, info.to_json())


def _crop(photo_paths: list[Path], number: int) -> np.ndarray:
    image = Image.open(photo_paths[number % len(photo_paths)]).convert("RGB")
    shift = 5 * (number // len(photo_paths)) % (min(image.size) - _SIDE)
    return np.asarray(image.crop((shift, shift, shift + _SIDE, shift + _SIDE)))
