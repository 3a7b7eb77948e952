"""An archive with broken photographs, on an S3 server with faults."""

from collections import Counter
from pathlib import Path

import pytest

from cluster.storage.stores import StorageOptions, open_storage
from jobs.cli import main
from tests.faults.archives import assert_same_images, assert_same_rows, break_some, images_of, photographs, rows_of
from tests.faults.proxy import FaultProxy


@pytest.mark.parametrize(
    ("count", "broken_share", "rate", "report"),
    [
        pytest.param(24, 0.34, 0.1, False, id="quick"),
        pytest.param(500, 0.05, 0.05, True, marks=pytest.mark.long, id="500"),
    ],
)
def test_faults_of_the_storage_change_no_row_and_no_image(
    proxy: FaultProxy,
    s3_endpoint: str,
    bucket: str,
    photo_paths: list[Path],
    tiny_checkpoint: str,
    ray_local: None,
    count: int,
    broken_share: float,
    rate: float,
    report: bool,
    tmp_path: Path,
) -> None:
    """The same archive is colorized in local folders, and on S3 with faults."""
    options = StorageOptions(endpoint=s3_endpoint)
    files, expected = break_some(photographs(photo_paths, count), broken_share)
    faulty = {name: open_storage(f"s3://{bucket}/{name}", options) for name in ("source", "output")}
    local = {name: open_storage(str(tmp_path / name), options) for name in ("source", "output")}
    for key, data in files.items():
        faulty["source"].write(key, data)
        local["source"].write(key, data)
    checkpoint = open_storage(f"s3://{bucket}/model", options)
    for path in Path(tiny_checkpoint).iterdir():
        checkpoint.write(path.name, path.read_bytes())
    sizes = ["max_failed_fraction=0.3", "block_size=32", "batch_size=16"]
    for storage, model, more in (
        (local, tiny_checkpoint, ["report=false"]),
        (faulty, checkpoint.uri, [f"report={report}", f"storage.endpoint={proxy.url}"]),
    ):
        where = [f"source={storage['source'].uri}", f"output={storage['output'].uri}", f"checkpoint={model}"]
        proxy.rate = rate
        assert main(["archive", *where, *sizes, *more]) == 0
    assert len(proxy.injected) >= 5  # kinds of faults

    rows = rows_of(faulty["output"])
    assert rows.key.tolist() == sorted(files)  # every input once
    found = dict(zip(rows.key, rows.status, strict=True))
    assert {key: found[key] for key in expected} == expected
    assert Counter(found[key] for key in files.keys() - expected.keys()) == {"ok": len(files) - len(expected)}
    assert_same_rows(faulty["output"], local["output"])

    images = images_of(faulty["output"])
    assert sorted(images) == sorted(rows.output_key[rows.status == "ok"])
    assert_same_images(faulty["output"], local["output"])
