import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pyarrow import fs
from safetensors.torch import load_file, save
from torchvision.models import resnet18

from colorize_core.checkpoint.config import read_checkpoint_config
from colorize_core.checkpoint.state import pack_state, unpack_state
from colorize_core.checkpoint.weights import checkpoint_files, load_checkpoint, save_checkpoint
from colorize_core.errors import UserError
from colorize_core.models import build_model
from colorize_core.models.base import ColorModel


@pytest.fixture
def saved(tmp_path: Path, tiny_model: ColorModel) -> Path:
    save_checkpoint(tmp_path / "saved", tiny_model, 64, {"epoch": 3})
    return tmp_path / "saved"


def message(path: object, filesystem: fs.FileSystem | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_checkpoint(str(path), filesystem)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def edit(saved: Path) -> Callable[..., Path]:
    """Replaces entries of config.json."""

    def change(**entries: object) -> Path:
        file = saved / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | entries))
        return saved

    return change


# Saving and loading


def test_a_loaded_model_predicts_the_same(saved: Path, tiny_model: ColorModel) -> None:
    model, _ = load_checkpoint(saved)
    L = torch.rand(1, 1, 32, 64) * 2 - 1
    with torch.inference_mode():
        assert torch.equal(model(L), tiny_model(L))


def test_a_loaded_model_is_in_evaluation_mode(tmp_path: Path, tiny_model: ColorModel) -> None:
    save_checkpoint(tmp_path, tiny_model.train(), 64)
    assert not any(module.training for module in load_checkpoint(tmp_path)[0].modules())


def test_a_model_with_first_weights_needs_them_no_more(tmp_path: Path) -> None:
    """A checkpoint carries the weights: the file that training began from may be gone."""
    torch.save(resnet18(weights=None).state_dict(), tmp_path / "first.pth")
    model = build_model("resnet_unet", backbone_weights=str(tmp_path / "first.pth"))
    save_checkpoint(tmp_path / "saved", model, 64)
    (tmp_path / "first.pth").unlink()
    loaded, _ = load_checkpoint(tmp_path / "saved")
    assert torch.equal(loaded.state_dict()["body.conv1.weight"], model.state_dict()["body.conv1.weight"])


def test_the_configuration_tells_the_architecture(saved: Path) -> None:
    _, config = load_checkpoint(saved)
    assert config.architecture == {"name": "encoder_decoder", "options": {"widths": [8, 8], "latent": 8}}


def test_the_configuration_tells_the_working_size(saved: Path) -> None:
    assert load_checkpoint(saved)[1].working_size == 64


def test_the_configuration_keeps_what_training_tells_people(saved: Path) -> None:
    assert read_checkpoint_config(saved).training == {"epoch": 3}


def test_the_configuration_tells_the_normalization(saved: Path) -> None:
    assert json.loads((saved / "config.json").read_text())["normalization"] == {
        "L_center": 50,
        "L_scale": 50,
        "ab_scale": 110,
    }


def test_the_configuration_tells_the_sha256_of_the_weights(saved: Path) -> None:
    digest = hashlib.sha256((saved / "model.safetensors").read_bytes()).hexdigest()
    assert read_checkpoint_config(saved).weights_sha256 == digest


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


# What is refused


def test_a_directory_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    assert f"{tmp_path}: not a checkpoint" in message(tmp_path)


def test_a_directory_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert f"{tmp_path}/nothing: not a checkpoint" in message(tmp_path / "nothing")


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


@pytest.mark.parametrize("format", [0, 2, "1", None])
def test_another_format_is_refused(edit: Callable[..., Path], format: object) -> None:
    assert f"checkpoint format {format}" in message(edit(format=format))


def test_a_later_format_with_keys_of_its_own_is_refused(edit: Callable[..., Path]) -> None:
    message(edit(format=2, precision="bf16"))


def test_another_normalization_is_refused(edit: Callable[..., Path]) -> None:
    assert "normalized by" in message(edit(normalization={"L_center": 50, "L_scale": 50, "ab_scale": 128}))


def test_an_architecture_nobody_knows_is_refused(edit: Callable[..., Path]) -> None:
    assert "did you mean" in message(edit(architecture={"name": "encoder_decodr", "options": {}}))


@pytest.mark.parametrize("architecture", [{}, {"name": "encoder_decoder"}, "encoder_decoder", None])
def test_a_damaged_architecture_is_refused(edit: Callable[..., Path], architecture: object) -> None:
    assert "config.json" in message(edit(architecture=architecture))


def test_a_missing_entry_is_refused(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    del config["working_size"]
    (saved / "config.json").write_text(json.dumps(config))
    assert "working_size" in message(saved)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff\xfe\x00", b'{"a": 1}', b"not\njson"])
def test_a_damaged_configuration_is_refused(saved: Path, content: bytes) -> None:
    (saved / "config.json").write_bytes(content)
    assert f"{saved}/config.json: damaged" in message(saved)


# Training state


def round_trip(state: object, folder: Path) -> object:
    (folder / "state").write_bytes(pack_state(state))
    return unpack_state(folder / "state")


def test_scalars_and_nesting_survive(tmp_path: Path) -> None:
    state = {"epoch": 3, "rate": 0.1, "name": "a", "none": None, "yes": True, "list": [1, {"deep": [2, []]}], "e": {}}
    assert round_trip(state, tmp_path) == state


def test_integer_keys_stay_integers(tmp_path: Path) -> None:
    """Optimizers number their parameters; JSON alone would make them strings."""
    assert round_trip({"state": {0: "a", 10: "b"}}, tmp_path) == {"state": {0: "a", 10: "b"}}


def test_the_order_of_keys_survives(tmp_path: Path) -> None:
    back = round_trip({"z": 1, "a": 2}, tmp_path)
    assert isinstance(back, dict)
    assert list(back) == ["z", "a"]


def test_tuples_become_lists(tmp_path: Path) -> None:
    assert round_trip({"betas": (0.9, 0.999)}, tmp_path) == {"betas": [0.9, 0.999]}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
def test_tensors_survive_with_their_type(tmp_path: Path, dtype: torch.dtype) -> None:
    values = torch.tensor([[0, 1], [2, 3]]).to(dtype)
    back = round_trip([values], tmp_path)
    assert isinstance(back, list)
    assert back[0].dtype == dtype
    assert torch.equal(back[0], values)


def test_tensors_without_dimensions_survive(tmp_path: Path) -> None:
    assert round_trip({"step": torch.tensor(7.0)}, tmp_path) == {"step": torch.tensor(7.0)}


def test_parts_of_one_tensor_survive(tmp_path: Path) -> None:
    whole = torch.arange(6.0).view(2, 3)
    back = round_trip({"row": whole[0], "column": whole[:, 1]}, tmp_path)
    assert isinstance(back, dict)
    assert (back["row"].tolist(), back["column"].tolist()) == ([0, 1, 2], [1, 4])


def test_the_state_of_the_random_generator_survives(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(5)
    state = round_trip(generator.get_state(), tmp_path)
    expected = torch.rand(3, generator=generator)
    assert isinstance(state, torch.Tensor)
    generator.set_state(state)
    assert torch.equal(torch.rand(3, generator=generator), expected)


@pytest.mark.parametrize("make", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_an_optimizer_continues_from_its_state(tmp_path: Path, make: type[torch.optim.Optimizer]) -> None:
    def optimizer(parameter: torch.Tensor) -> torch.optim.Optimizer:
        return make([parameter], lr=0.1) if make is not torch.optim.SGD else make([parameter], lr=0.1, momentum=0.9)

    def step(parameter: torch.Tensor, of: torch.optim.Optimizer) -> None:
        parameter.grad = parameter.detach().clone()
        of.step()

    one = torch.tensor([1.0, -2.0], requires_grad=True)
    whole = optimizer(one)
    step(one, whole)
    other = one.detach().clone().requires_grad_()
    resumed = optimizer(other)
    resumed.load_state_dict(round_trip(whole.state_dict(), tmp_path))
    step(one, whole)
    step(other, resumed)
    assert torch.equal(one, other)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_a_cut_state_is_refused(tmp_path: Path, share: float) -> None:
    whole = pack_state({"a": torch.arange(100.0)})
    (tmp_path / "state").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match="damaged training state") as caught:
        unpack_state(tmp_path / "state")
    assert "\n" not in str(caught.value)


def test_weights_are_no_training_state(saved: Path) -> None:
    with pytest.raises(UserError, match="damaged training state"):
        unpack_state(saved / "model.safetensors")


def test_a_working_size_that_is_no_number_is_refused(edit: Callable[..., Path]) -> None:
    assert "working_size is 'big'" in message(edit(working_size="big"))


def test_an_option_of_a_wrong_kind_is_refused(edit: Callable[..., Path]) -> None:
    assert "damaged checkpoint" in message(edit(architecture={"name": "encoder_decoder", "options": {"widths": 5}}))
