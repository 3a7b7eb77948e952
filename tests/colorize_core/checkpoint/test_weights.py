import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pyarrow import fs
from safetensors.torch import load_file, save
from torchvision.models import resnet18

from colorize_core.checkpoint.weights import checkpoint_files, load_checkpoint, save_checkpoint
from colorize_core.errors import UserError
from colorize_core.models import build_model
from colorize_core.models.base import ColorModel


def message(path: object, filesystem: fs.FileSystem | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_checkpoint(str(path), filesystem)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_loaded_model_predicts_the_same(saved: Path, tiny_model: ColorModel) -> None:
    model, _ = load_checkpoint(saved)
    L = torch.rand(1, 1, 32, 64) * 2 - 1
    with torch.inference_mode():
        assert torch.equal(model(L), tiny_model(L))


def test_a_loaded_model_is_in_evaluation_mode(tmp_path: Path, tiny_model: ColorModel) -> None:
    save_checkpoint(tmp_path, tiny_model.train(), 64)
    assert not any(module.training for module in load_checkpoint(tmp_path)[0].modules())


def test_a_checkpoint_does_not_need_the_initial_weights_of_its_model(tmp_path: Path) -> None:
    """The file that training started from may be deleted."""
    torch.save(resnet18(weights=None).state_dict(), tmp_path / "first.pth")
    model = build_model("resnet_unet", backbone_weights=str(tmp_path / "first.pth"))
    save_checkpoint(tmp_path / "saved", model, 64)
    (tmp_path / "first.pth").unlink()
    loaded, _ = load_checkpoint(tmp_path / "saved")
    assert torch.equal(loaded.state_dict()["body.conv1.weight"], model.state_dict()["body.conv1.weight"])


def test_the_architecture_is_written(saved: Path) -> None:
    _, config = load_checkpoint(saved)
    assert config.architecture == {"name": "encoder_decoder", "options": {"widths": [8, 8], "latent": 8}}


def test_the_working_size_is_written(saved: Path) -> None:
    assert load_checkpoint(saved)[1].working_size == 64


def test_a_checkpoint_is_two_files_and_no_pickle(saved: Path, tiny_model: ColorModel) -> None:
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "model.safetensors"]
    assert load_file(saved / "model.safetensors").keys() == tiny_model.state_dict().keys()


def test_the_configuration_is_written_last(tiny_model: ColorModel) -> None:
    """A reader that finds it finds the weights too."""
    assert list(checkpoint_files(tiny_model, 64)) == ["model.safetensors", "config.json"]


def test_a_checkpoint_can_be_written_over_another(saved: Path) -> None:
    other = build_model("encoder_decoder", widths=[4], latent=4)
    save_checkpoint(saved, other, 32)
    assert load_checkpoint(saved)[0].architecture == other.architecture


def test_equal_models_are_equal_files(tiny_model: ColorModel) -> None:
    assert checkpoint_files(tiny_model, 64) == checkpoint_files(tiny_model, 64)


def test_a_trailing_slash_does_not_matter(saved: Path) -> None:
    assert load_checkpoint(f"{saved}/")[1].working_size == 64


def test_a_checkpoint_is_loaded_from_the_file_system_that_is_given(saved: Path) -> None:
    system = fs.SubTreeFileSystem(str(saved.parent), fs.LocalFileSystem())
    assert load_checkpoint("saved", system)[1].working_size == 64


def test_missing_weights_are_refused(saved: Path) -> None:
    (saved / "model.safetensors").unlink()
    assert "no weights" in message(saved)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_half_written_weights_are_refused(saved: Path, share: float) -> None:
    whole = (saved / "model.safetensors").read_bytes()
    (saved / "model.safetensors").write_bytes(whole[: int(len(whole) * share)])
    assert "half written or replaced" in message(saved)


def test_weights_of_another_run_are_refused(saved: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "other", build_model("encoder_decoder", widths=[8, 8], latent=8), 64)
    shutil.copy(tmp_path / "other" / "model.safetensors", saved)
    assert "half written or replaced" in message(saved)


def replace_weights(saved: Path, state: dict[str, torch.Tensor], edit: Callable[..., Path]) -> None:
    data = save(state)
    (saved / "model.safetensors").write_bytes(data)
    edit(weights_sha256=hashlib.sha256(data).hexdigest())


def test_weights_of_another_architecture_are_refused(saved: Path, edit: Callable[..., Path]) -> None:
    edit(architecture={"name": "encoder_decoder", "options": {"widths": [8, 16], "latent": 8}})
    assert "weights of another architecture than 'encoder_decoder'" in message(saved)


def test_a_missing_tensor_is_named(saved: Path, edit: Callable[..., Path], tiny_model: ColorModel) -> None:
    state = tiny_model.state_dict()
    del state["to_ab.0.bias"]
    replace_weights(saved, state, edit)
    assert "to_ab.0.bias: missing in the file, 2 in the model" in message(saved)


def test_a_tensor_too_many_is_named(saved: Path, edit: Callable[..., Path], tiny_model: ColorModel) -> None:
    replace_weights(saved, tiny_model.state_dict() | {"extra": torch.zeros(3)}, edit)
    assert "extra: 3 in the file, missing in the model" in message(saved)


def test_a_tensor_of_another_shape_is_named(saved: Path, edit: Callable[..., Path], tiny_model: ColorModel) -> None:
    replace_weights(saved, tiny_model.state_dict() | {"to_ab.0.bias": torch.zeros(2, 1)}, edit)
    assert "to_ab.0.bias: 2x1 in the file, 2 in the model" in message(saved)


def test_an_unknown_architecture_is_refused(edit: Callable[..., Path]) -> None:
    assert "did you mean" in message(edit(architecture={"name": "encoder_decodr", "options": {}}))


def test_an_option_of_a_wrong_type_is_refused(edit: Callable[..., Path]) -> None:
    assert "damaged checkpoint" in message(edit(architecture={"name": "encoder_decoder", "options": {"widths": 5}}))
