"""The order of an epoch: complete, equal shares, reproducible, from any batch on; faults of shards."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import fs

from colorize_core.data.loader import ShardLoader, open_shards, prefetch
from colorize_core.data.shards import encode_shard, make_table
from colorize_core.errors import UserError

LOCAL = fs.LocalFileSystem()
ROWS = 331  # 3 files, whose last row groups are short


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Photographs of 4 px whose gray is their number; ids tell it too."""
    folder = tmp_path_factory.mktemp("feed")
    written = []
    for part, numbers in enumerate(np.array_split(np.arange(ROWS), 3)):
        rgb = np.broadcast_to((numbers % 256).astype(np.uint8)[:, None, None, None], (len(numbers), 4, 4, 3))
        names = [str(number) for number in numbers]
        path = folder / f"part-{part}.parquet"
        path.write_bytes(encode_shard(make_table(names, names, np.ascontiguousarray(rgb), exact=False)))
        written.append(str(path))
    return written


def loader(paths: list[str], **options: Any) -> ShardLoader:
    settings: dict[str, Any] = {"batch_size": 8, "shuffle_buffer": 40, "seed": 3}
    return ShardLoader(open_shards(paths, LOCAL), LOCAL, ("id", "L", "ab"), **settings | options)


def ids(batches: Any) -> list[list[str]]:
    return [batch["id"] for batch in batches]


def test_every_row_is_read_once_except_an_incomplete_batch(paths: list[str]) -> None:
    batches = ids(loader(paths).epoch(1))
    assert [len(batch) for batch in batches] == [8] * (ROWS // 8)
    seen = [name for batch in batches for name in batch]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_ranks_read_equal_and_disjoint_shares(ranks: int, paths: list[str]) -> None:
    loaders = [loader(paths, rank=rank, world_size=ranks, batch_size=1) for rank in range(ranks)]
    assert {each.batches for each in loaders} == {ROWS // ranks}
    seen = [name for each in loaders for (name,) in ids(each.epoch(4))]
    assert len(seen) == ROWS // ranks * ranks
    assert len(set(seen)) == len(seen)


def test_pixels_are_those_of_the_row(paths: list[str]) -> None:
    batch = next(loader(paths).epoch(1))
    assert batch["L"].shape == (8, 1, 4, 4)
    assert batch["ab"].shape == (8, 2, 4, 4)
    table = make_table([""] * 256, [""] * 256, np.arange(256, dtype=np.uint8).repeat(48).reshape(256, 4, 4, 3), False)
    lightness = table.column("L").chunk(0).to_numpy_ndarray()
    for name, L in zip(batch["id"], batch["L"], strict=True):
        assert (lightness[int(name) % 256] == L).all()


def test_an_epoch_is_reproducible_and_differs_from_others(paths: list[str]) -> None:
    first, again, next_one = (ids(loader(paths).epoch(number)) for number in (1, 1, 2))
    assert first == again
    assert first != next_one
    assert first != ids(loader(paths, seed=4).epoch(1))


def test_dropped_rows_differ_between_epochs(paths: list[str]) -> None:
    rows = {str(number) for number in range(ROWS)}
    missed = [frozenset(rows - {name for batch in ids(loader(paths).epoch(n)) for name in batch}) for n in range(1, 6)]
    assert len(set(missed)) > 1


@pytest.mark.parametrize("skip", [1, 7, 40])
def test_an_epoch_resumes_at_any_batch(skip: int, paths: list[str]) -> None:
    whole, rest = list(loader(paths).epoch(2)), list(loader(paths).epoch(2, skip))
    assert ids(rest) == ids(whole)[skip:]
    assert all((a["L"] == b["L"]).all() for a, b in zip(whole[skip:], rest, strict=True))


def test_rows_are_shuffled_beyond_their_row_group(paths: list[str]) -> None:
    numbers = np.array([int(name) for batch in ids(loader(paths, shuffle_buffer=200).epoch(1)) for name in batch])
    assert (np.diff(numbers) == 1).mean() < 0.05
    assert (np.abs(np.diff(numbers)) > 64).mean() > 0.3


def test_the_first_batches_do_not_wait_for_the_whole_buffer(paths: list[str]) -> None:
    order = [name for batch in ids(loader(paths, shuffle_buffer=0).epoch(1)) for name in batch]
    batches = ids(loader(paths, shuffle_buffer=200).epoch(1))
    assert set(batches[0]) <= set(order[:16])
    assert {name for batch in batches[:10] for name in batch} & set(order[100:])


def test_without_a_buffer_row_groups_are_in_their_own_order(paths: list[str]) -> None:
    numbers = np.array([int(name) for batch in ids(loader(paths, shuffle_buffer=0).epoch(1)) for name in batch])
    assert (np.diff(numbers) == 1).mean() > 0.95


def test_a_missing_or_damaged_shard_is_named(paths: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.parquet: the shard is missing"):
        open_shards([str(tmp_path / "nowhere.parquet")], LOCAL)
    damaged = tmp_path / "damaged.parquet"
    data = bytearray(Path(paths[0]).read_bytes())
    damaged.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"damaged.parquet: damaged shard"):
        open_shards([str(damaged)], LOCAL)
    data[200 : len(data) // 2] = bytes(len(data) // 2 - 200)
    damaged.write_bytes(data)
    with pytest.raises(UserError, match=r"damaged.parquet: damaged shard"):
        list(loader([str(damaged)]).epoch(1))


def test_prefetching_keeps_the_order_and_ends_its_thread() -> None:
    before = threading.active_count()
    assert list(prefetch(range(50), lambda number: number**2, 3)) == [number**2 for number in range(50)]
    some = prefetch(range(1000), lambda number: number, 3)
    assert [next(some) for _ in range(4)] == [0, 1, 2, 3]
    some.close()
    for _ in range(50):
        if threading.active_count() <= before:
            break
        threading.Event().wait(0.1)
    assert threading.active_count() <= before


def test_an_exception_in_prefetching_is_raised_by_the_consumer() -> None:
    made = prefetch([4, 2, 0, 1], lambda number: 8 // number, 2)
    assert [next(made), next(made)] == [2, 4]
    with pytest.raises(ZeroDivisionError):
        next(made)
