"""Listing by many threads."""

import threading
from collections.abc import Iterator

import pytest

from cluster.storage.listing import MAX_DEPTH, FolderListing, Page
from cluster.storage.local import Entry
from cluster.storage.stores import StorageOptions, open_storage


def tree(folders: dict[str, list[str]], asked: list[tuple[str, bool]]) -> FolderListing:
    """A listing of {"folder/": its files}."""

    def list_folder(folder: str, own_files_only: bool) -> Iterator[Page]:
        asked.append((folder, own_files_only))
        inside = [name for name in folders if name.startswith(folder)]
        if own_files_only:
            children = {f"{folder}{name[len(folder) :].split('/')[0]}/" for name in inside if name != folder}
            inside = [folder] if folder in folders else []
        for name in inside:
            yield Page([Entry(name + file, 1) for file in folders[name]], [])
        if own_files_only:
            yield Page([], sorted(children))

    return FolderListing(list_folder, threads=4)


def test_every_file_is_found_once() -> None:
    folders = {f"{a}/{b}/{c}/": ["x", "y"] for a in range(3) for b in range(4) for c in range(5)} | {"": ["top"]}
    keys = [entry.key for entry in tree(folders, []).entries()]
    assert sorted(keys) == sorted(folder + file for folder, files in folders.items() for file in files)


def test_deep_folders_are_listed_by_one_request() -> None:
    asked: list[tuple[str, bool]] = []
    list(tree({f"a/b/{number}/": ["x"] for number in range(100)}, asked).entries())
    assert (f"a/{'b/'}", False) in asked
    assert len(asked) == MAX_DEPTH + 1


def test_a_fault_of_a_thread_is_raised() -> None:
    def fail(folder: str, own_files_only: bool) -> Iterator[Page]:
        if folder == "bad/":
            raise OSError("refused")
        yield Page([], ["good/", "bad/"] if not folder else [])

    with pytest.raises(OSError, match="refused"):
        list(FolderListing(fail, threads=2).entries())


def test_threads_end_if_the_listing_is_not_read_to_its_end() -> None:
    before = set(threading.enumerate())

    def endless(folder: str, own_files_only: bool) -> Iterator[Page]:
        while True:
            yield Page([Entry("x", 1)], [])

    listing = FolderListing(endless, threads=2)
    entries = listing.entries()
    next(entries)
    entries.close()  # type: ignore[attr-defined]
    threads = set(threading.enumerate()) - before
    assert len(threads) <= 2
    for thread in threads:
        thread.join(timeout=10)
    assert not any(thread.is_alive() for thread in threads)


def test_a_bucket_is_listed_by_folders(s3_endpoint: str, bucket: str) -> None:
    store = open_storage(f"s3://{bucket}/archive", StorageOptions(endpoint=s3_endpoint))
    keys = [f"{box}/{roll}/{frame}.jpg" for box in "abc" for roll in "12" for frame in range(3)] + ["top.jpg", "ü ü/1"]
    for key in keys:
        store.write(key, key.encode())
    found = list(store.list_parallel(threads=4))
    assert sorted(entry.key for entry in found) == sorted(keys)
    assert all(entry.size == len(entry.key.encode()) for entry in found)
