"""Checkpoints by name, path and URI."""

from pathlib import Path

import pytest

from cluster.storage.stores import LocalStorage, StorageOptions
from colorize_core.errors import UserError
from colorize_core.starter import locate_checkpoint
from jobs.run.checkpoints import checkpoint_reads, open_checkpoint, read_checkpoint


def test_a_checkpoint_is_read_from_s3(bucket: str, s3_endpoint: str, tiny_checkpoint: str) -> None:
    options = StorageOptions(endpoint=s3_endpoint, path_style=True)
    store = open_checkpoint(f"s3://{bucket}/runs/best", options)
    for file in Path(tiny_checkpoint).iterdir():
        store.write(file.name, file.read_bytes())
    _, config = read_checkpoint(f"s3://{bucket}/runs/best", options)
    assert config.working_size == 32


def test_the_starter_is_in_the_package_and_a_folder_of_its_name_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    starter, folder = (open_checkpoint(name, StorageOptions()) for name in ("starter", "./starter"))
    assert isinstance(starter, LocalStorage)
    assert starter.root == locate_checkpoint("starter")
    assert read_checkpoint("starter", StorageOptions())[1].architecture["name"] == "pretrained_unet"
    with pytest.raises(UserError, match="not a checkpoint"):
        read_checkpoint("./starter", StorageOptions())
    assert isinstance(folder, LocalStorage)
    assert folder.root == str(tmp_path / "starter")


def test_other_machines_must_read_all_but_the_starter(tiny_checkpoint: str) -> None:
    reads = checkpoint_reads({"mine": tiny_checkpoint, "theirs": "starter"}, StorageOptions())
    assert {key: file for key, (_, file) in reads.items()} == {"mine": "config.json"}
