"""An archive with broken photographs, through an S3 that fails."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from cluster.storage.stores import StorageOptions, open_storage
from jobs.cli import main
from tests.faults.archives import break_some, photographs, pictures_of, rows_of
from tests.faults.proxy import FaultProxy


@pytest.mark.parametrize(
    ("count", "broken_share", "rate"),
    [pytest.param(24, 0.34, 0.1, id="quick"), pytest.param(500, 0.05, 0.05, marks=pytest.mark.long, id="500")],
)
def test_faults_of_the_store_change_nothing(
    proxy: FaultProxy,
    s3_endpoint: str,
    bucket: str,
    photo_paths: list[Path],
    tiny_checkpoint: str,
    ray_local: None,
    count: int,
    broken_share: float,
    rate: float,
) -> None:
    options = StorageOptions(endpoint=s3_endpoint)
    files, expected = break_some(photographs(photo_paths, count), broken_share)
    source = open_storage(f"s3://{bucket}/gray", options)
    for key, data in files.items():
        source.write(key, data)
    checkpoint = open_storage(f"s3://{bucket}/model", options)
    for path in Path(tiny_checkpoint).iterdir():
        checkpoint.write(path.name, path.read_bytes())
    outputs = {}
    for name, endpoint, share in (("calm", s3_endpoint, 0.0), ("stormy", proxy.url, rate)):
        proxy.rate = share
        outputs[name] = open_storage(f"s3://{bucket}/{name}", options)
        arguments = [f"source={source.uri}", f"output={outputs[name].uri}", f"checkpoint={checkpoint.uri}"]
        arguments += [f"storage.endpoint={endpoint}", "max_failed_fraction=0.3", "block_size=32", "batch_size=16"]
        assert main(["archive", *arguments]) == 0
    assert len(proxy.injected) >= 5  # kinds

    calm, stormy = rows_of(outputs["calm"]), rows_of(outputs["stormy"])
    assert stormy.key.tolist() == sorted(files)  # every input, once
    found = dict(zip(stormy.key, stormy.status, strict=True))
    assert {key: found[key] for key in expected} == expected
    assert Counter(found[key] for key in files.keys() - expected.keys()) == {"ok": len(files) - len(expected)}
    pd.testing.assert_frame_equal(stormy, calm)

    pictures = pictures_of(outputs["stormy"])
    assert sorted(pictures) == sorted(stormy.output_key[stormy.status == "ok"])
    assert pictures == pictures_of(outputs["calm"])
