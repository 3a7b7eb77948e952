from pathlib import Path

import pytest

from cluster.storage.stores import LocalStorage
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
    assert fetch_sidecars(store, ["a.tif", "b.tif", "c.tif"]) == [b"a.tif.xmp", b"b.xmp", None]
