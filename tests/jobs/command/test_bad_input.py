"""Mistakes of users: one line that says what was wrong and where, the right exit code, no traceback."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from colorize_core.checkpoint.weights import save_checkpoint
from colorize_core.models import build_model

OneLine = Callable[[list[str], int], str]


@pytest.fixture
def archive(tmp_path: Path, photo_folder: Path, tiny_checkpoint: str) -> Callable[..., list[str]]:
    """A valid archive command, with replacements."""

    def command(**changes: str) -> list[str]:
        keys = {"source": str(photo_folder), "output": str(tmp_path / "out"), "checkpoint": tiny_checkpoint} | changes
        return ["archive", *(f"{key}={value}" for key, value in keys.items())]

    return command


def test_missing_source(one_line: OneLine, archive: Callable[..., list[str]]) -> None:
    assert "/nowhere: no such directory" in one_line(archive(source="/nowhere"), 2)


def test_missing_source_of_prepare(one_line: OneLine, tmp_path: Path) -> None:
    assert "/nowhere: no such directory" in one_line(["prepare", "source=/nowhere", f"output={tmp_path}/out"], 2)


@pytest.mark.parametrize("verb", ["archive", "prepare"])
def test_empty_source(one_line: OneLine, archive: Callable[..., list[str]], tmp_path: Path, verb: str) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("no photograph")
    command = archive(source=str(empty))
    line = one_line(command if verb == "archive" else ["prepare", *command[1:3]], 2)
    assert f"{empty}: no photographs found (excluded: 1 .txt)" in line


def test_unknown_key(one_line: OneLine, archive: Callable[..., list[str]]) -> None:
    assert "did you mean format?" in one_line([*archive(), "fromat=png"], 2)


def test_wrong_type(one_line: OneLine, archive: Callable[..., list[str]]) -> None:
    assert "limit = 'many'" in one_line([*archive(), "limit=many"], 2)


def test_checkpoint_that_is_no_checkpoint(
    one_line: OneLine, archive: Callable[..., list[str]], photo_folder: Path
) -> None:
    assert f"{photo_folder}: not a checkpoint" in one_line(archive(checkpoint=str(photo_folder)), 2)


def test_checkpoint_without_weights(
    one_line: OneLine, archive: Callable[..., list[str]], tmp_path: Path, tiny_checkpoint: str
) -> None:
    shutil.copytree(tiny_checkpoint, tmp_path / "half")
    (tmp_path / "half" / "model.safetensors").unlink()
    assert "the checkpoint has no weights" in one_line(archive(checkpoint=str(tmp_path / "half")), 2)


def test_checkpoint_whose_weights_are_of_another_architecture(
    one_line: OneLine, archive: Callable[..., list[str]], ray_local: None, tmp_path: Path, tiny_checkpoint: str
) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(tiny_checkpoint, mixed)
    config = json.loads((mixed / "config.json").read_text())
    config["architecture"]["options"]["latent"] = 16
    (mixed / "config.json").write_text(json.dumps(config))
    assert "weights of another architecture than 'encoder_decoder'" in one_line(archive(checkpoint=str(mixed)), 2)


def test_training_from_a_checkpoint_of_another_architecture(
    one_line: OneLine, dataset: str, tmp_path: Path, tiny_checkpoint: str
) -> None:
    command = ["train", f"shards={dataset}", f"output={tmp_path}/run", "loss.l1=1", "optim.batch_size=4"]
    line = one_line([*command, "model.name=resnet_unet", f"model.init_from={tiny_checkpoint}"], 2)
    assert str(tiny_checkpoint) in line
    assert "encoder_decoder(widths=[8, 8], latent=8)" in line
    assert "resnet_unet()" in line


def test_unknown_architecture(one_line: OneLine, dataset: str, tmp_path: Path) -> None:
    command = ["train", f"shards={dataset}", f"output={tmp_path}/run", "loss.l1=1", "optim.batch_size=4"]
    assert "did you mean 'resnet_unet'?" in one_line([*command, "model.name=resnet_net"], 2)


def test_shards_that_are_no_dataset(one_line: OneLine, photo_folder: Path, tmp_path: Path) -> None:
    command = ["train", f"shards={photo_folder}", f"output={tmp_path}/run", "model.name=encoder_decoder", "loss.l1=1"]
    assert f"{photo_folder}: not a dataset of Lab shards" in one_line(command, 2)


def test_shards_without_a_val_split(one_line: OneLine, dataset: str, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    shutil.copytree(dataset, shards)
    info = json.loads((shards / "dataset.json").read_text())
    info["splits"]["val"] = {"rows": 0, "files": []}
    (shards / "dataset.json").write_text(json.dumps(info))
    command = ["train", f"shards={shards}", f"output={tmp_path}/run", "model.name=encoder_decoder", "loss.l1=1"]
    assert "the dataset has no 'val' split (it has: train)" in one_line(command, 2)


def test_evaluation_of_a_split_that_is_not_there(
    one_line: OneLine, dataset: str, tmp_path: Path, tiny_checkpoint: str
) -> None:
    command = ["evaluate", f"shards={dataset}", f"output={tmp_path}/out", f"checkpoint={tiny_checkpoint}"]
    assert "the dataset has no 'test' split (it has: train, val)" in one_line(command, 2)


def test_too_few_photographs_for_a_batch(one_line: OneLine, dataset: str, tmp_path: Path) -> None:
    command = ["train", f"shards={dataset}", f"output={tmp_path}/run", "model.name=encoder_decoder", "loss.l1=1"]
    assert "lower optim.batch_size" in one_line([*command, "optim.batch_size=1000"], 2)


def test_unreachable_s3_endpoint(
    one_line: OneLine, archive: Callable[..., list[str]], s3_environment: None, free_port: int
) -> None:
    endpoint = f"http://127.0.0.1:{free_port}"
    line = one_line([*archive(source="s3://bucket/gray"), f"storage.endpoint={endpoint}"], 1)
    assert f"s3://bucket/gray: {endpoint} cannot be reached" in line


def test_bucket_that_does_not_exist(one_line: OneLine, archive: Callable[..., list[str]], s3_endpoint: str) -> None:
    line = one_line([*archive(source="s3://no-such-bucket/gray"), f"storage.endpoint={s3_endpoint}"], 1)
    assert "s3://no-such-bucket/gray: there is no such bucket (NoSuchBucket: " in line
    assert "create the bucket, or fix its name" in line


@pytest.mark.parametrize("nested", ["source", "output"])
def test_source_and_output_that_overlap(
    one_line: OneLine, archive: Callable[..., list[str]], photo_folder: Path, tmp_path: Path, nested: str
) -> None:
    inner = photo_folder / "train"
    changes = {"source": str(inner), "output": str(photo_folder)}
    if nested == "output":
        changes = {"source": str(photo_folder), "output": str(photo_folder / "out")}
    assert "overlap" in one_line(archive(**changes), 2)


def test_output_that_holds_something_else(one_line: OneLine, archive: Callable[..., list[str]], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    assert "the output is not empty and contains no archive run" in one_line(archive(), 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.jpg", "out.png"], "missing.jpg: cannot be read"),
        (["{photo}", "out.txt"], "the name must end in .jpg"),
        (["{photo}", "{photo}"], "would overwrite the input"),
        (["{photo}", "nowhere/out.png"], "the folder nowhere does not exist"),
        (["{photo}", "out.png", "--quality", "0"], "quality = 0: "),
        (["{text}", "out.png"], "not an image"),
    ],
)
def test_photo_says_what_is_wrong(
    one_line: OneLine,
    tmp_path: Path,
    photo_paths: list[Path],
    tiny_checkpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.jpg").write_text("not a photograph")
    shutil.copy(photo_paths[0], tmp_path / "photo.jpg")
    filled = [argument.format(photo="photo.jpg", text="text.jpg") for argument in arguments]
    assert said in one_line(["photo", *filled, "--checkpoint", tiny_checkpoint], 2)
    assert not (tmp_path / "out.png").exists()


def test_checkpoint_of_an_unknown_architecture(
    one_line: OneLine, archive: Callable[..., list[str]], tmp_path: Path
) -> None:
    model = build_model("encoder_decoder", widths=[8], latent=8)
    model.architecture = {"name": "from_the_future", "options": {}}
    save_checkpoint(tmp_path / "future", model, 32)
    assert "model 'from_the_future' is unknown" in one_line(archive(checkpoint=str(tmp_path / "future")), 2)


def test_a_dry_run_reads_the_corrections(archive: Callable[..., list[str]], one_line: OneLine, tmp_path: Path) -> None:
    said = one_line([*archive(corrections=f"{tmp_path}/none.json"), "--dry-run"], 2)
    assert "none.json: cannot be read" in said
