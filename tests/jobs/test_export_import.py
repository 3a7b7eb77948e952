"""`colorize export` and `colorize import`."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch

from colorize_core.checkpoint.weights import load_checkpoint
from colorize_core.models import build_model
from jobs.cli import main

OneLine = Callable[[list[str], int], str]


@pytest.mark.slow
def test_a_checkpoint_is_exported_and_compared(
    tiny_checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", tiny_checkpoint, f"{tmp_path}/model.onnx"]) == 0
    said = capsys.readouterr().out
    assert "exported encoder_decoder" in said
    assert "largest difference from the checkpoint" in said
    assert "not stated" in said
    properties = {each.key: each.value for each in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert (properties["model"], properties["license"]) == ("encoder_decoder", "not stated")


def test_a_directory_becomes_a_checkpoint_of_half_the_size(
    tiny_checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", tiny_checkpoint, f"{tmp_path}/half"]) == 0
    assert "allowed 0.5" in capsys.readouterr().out
    assert load_checkpoint(tmp_path / "half")[1].working_size == 32


def test_a_model_card_is_written_once_and_then_kept(
    tiny_checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", tiny_checkpoint, f"{tmp_path}/half", "license=CC-BY-4.0"]
    assert main(arguments) == 0
    card = tmp_path / "half" / "README.md"
    assert card.read_text().startswith("---\nlicense: cc-by-4.0\n")
    card.write_text("edited")
    assert main(arguments) == 0
    assert card.read_text() == "edited"
    assert "README.md, kept as it was" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["CHECKPOINT", "OUT/model.pb"], "must end in .onnx or .pt2"),
        (["/nowhere", "OUT/model.onnx"], "/nowhere: not a checkpoint"),
        (["CHECKPOINT", "OUT/missing/model.onnx"], "does not exist"),
    ],
)
def test_mistakes_of_exporting_are_one_line(
    arguments: list[str], said: str, tiny_checkpoint: str, tmp_path: Path, one_line: OneLine
) -> None:
    filled = [word.replace("CHECKPOINT", tiny_checkpoint).replace("OUT", str(tmp_path)) for word in arguments]
    assert said in one_line(["export", *filled], 2)


def test_the_weights_of_zhang_become_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    theirs = build_model("zhang_eccv16", temperature=1.0).eval()
    torch.save(theirs.state_dict(), tmp_path / "zhang.pth")
    assert main(["import", f"{tmp_path}/zhang.pth", f"{tmp_path}/checkpoint"]) == 0
    said = capsys.readouterr().out
    assert all(fact in said for fact in ("by the names of its tensors", "BSD-2-Clause", "ImageNet", "256 px"))
    model, config = load_checkpoint(tmp_path / "checkpoint")
    assert config.architecture == {"name": "zhang_eccv16", "options": {"temperature": 1.0}}
    assert config.working_size == 256
    assert config.training["imported"]["license"].startswith("BSD-2-Clause")
    L = torch.rand(1, 1, 32, 32)
    assert torch.equal(model(L), theirs(L))


def test_the_generator_of_the_tutorial_becomes_a_checkpoint(tmp_path: Path) -> None:
    from colorize_core.models.fastai import RENAMED_PREFIXES

    ours = build_model("resnet_unet")
    theirs = {}
    for key, value in ours.state_dict().items():
        name = next(old + key.removeprefix(new) for old, new in RENAMED_PREFIXES.items() if key.startswith(new))
        theirs[f"net_G.{name}"] = value
    torch.save(theirs, tmp_path / "tutorial.pt")
    assert main(["import", f"{tmp_path}/tutorial.pt", f"{tmp_path}/checkpoint", "--size", "128"]) == 0
    model, config = load_checkpoint(tmp_path / "checkpoint")
    assert config.working_size == 128
    for one, other in zip(model.parameters(), ours.parameters(), strict=True):
        assert torch.equal(one, other)


def test_mistakes_of_importing_are_one_line(tmp_path: Path, one_line: OneLine) -> None:
    torch.save({"classifier.weight": torch.zeros(2)}, tmp_path / "other.pth")
    torch.save({"model1.0.weight": torch.zeros(2)}, tmp_path / "cut.pth")
    assert "not weights that can be imported" in one_line(["import", f"{tmp_path}/other.pth", f"{tmp_path}/out"], 2)
    assert "weights of another architecture" in one_line(["import", f"{tmp_path}/cut.pth", f"{tmp_path}/out"], 2)
    assert "no such file" in one_line(["import", f"{tmp_path}/missing.pth", f"{tmp_path}/out"], 2)
    assert "exists already" in one_line(["import", f"{tmp_path}/other.pth", str(tmp_path)], 2)
    assert "size = 100" in one_line(["import", f"{tmp_path}/other.pth", f"{tmp_path}/out", "--size", "100"], 2)
    assert not (tmp_path / "out").exists()


def test_dry_runs_check_and_write_nothing(
    tiny_checkpoint: str, tmp_path: Path, one_line: OneLine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", tiny_checkpoint, f"{tmp_path}/model.onnx", "--dry-run"]) == 0
    assert "export would write the encoder_decoder" in capsys.readouterr().out
    torch.save({"classifier.weight": torch.zeros(2)}, tmp_path / "other.pth")
    assert "not weights that can be imported" in one_line(
        ["import", f"{tmp_path}/other.pth", f"{tmp_path}/out", "--dry-run"], 2
    )
    assert [path.name for path in tmp_path.iterdir()] == ["other.pth"]
