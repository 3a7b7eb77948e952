from pathlib import Path
from unittest.mock import Mock

import pyarrow as pa
import pytest

from cluster.storage.stores import LocalStorage
from colorize_core.status import Status
from jobs.archive.tasks import fetch
from jobs.inputs.sidecars import fetch_sidecars, sidecar_keys


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("box.1/a.tif", ("box.1/a.tif.xmp", "box.1/a.xmp")),
        ("a", ("a.xmp", "a.xmp")),
        ("box.1/.hidden", ("box.1/.hidden.xmp", "box.1/.hidden.xmp")),
    ],
)
def test_both_conventions_of_names(key: str, found: tuple[str, str]) -> None:
    assert sidecar_keys(key) == found


def test_the_longer_name_comes_first_and_none_is_none(tmp_path: Path) -> None:
    store = LocalStorage(str(tmp_path))
    for key in ("a.tif.xmp", "a.xmp", "b.xmp"):
        store.write(key, key.encode())
    found = fetch_sidecars(store, ["a.tif", "b.tif", "c.tif"])
    assert [sidecar.data for sidecar in found] == [b"a.tif.xmp", b"b.xmp", b""]
    assert [sidecar.status for sidecar in found] == [None, None, Status.MISSING]


def test_a_sidecar_that_cannot_be_read_makes_the_photograph_a_read_error(tmp_path: Path) -> None:
    """A folder of that name; on a network, a fault."""
    store = LocalStorage(str(tmp_path))
    for key in ("a.tif", "b.tif", "a.tif.xmp/file", "b.xmp"):
        store.write(key, key.encode())
    keys = pa.table({"key": ["a.tif", "b.tif", "c.tif"], "settings": pa.nulls(3, pa.string())})
    read = fetch(keys, store, Mock(), "run", sidecars=True)
    assert read["status"].to_pylist() == [Status.READ_ERROR, None, Status.MISSING]
    assert read["error"][0].as_py().startswith("XMP sidecar: ")
    assert read["sidecar"].to_pylist() == [None, b"b.xmp", None]
