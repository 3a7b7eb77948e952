"""Exported models in their runtime against the original model."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from colorize_core.checkpoint.export import HALF_TOLERANCE, TOLERANCE, export_half, export_model
from colorize_core.checkpoint.weights import CheckpointConfig, load_checkpoint, save_checkpoint
from colorize_core.errors import UserError
from colorize_core.inference.prediction import predict_ab
from colorize_core.models import build_model
from colorize_core.models.base import ColorModel

pytestmark = pytest.mark.slow


@pytest.fixture
def model() -> ColorModel:
    torch.manual_seed(0)
    return build_model("encoder_decoder", widths=[8, 8], latent=8).eval()


def test_onnx_takes_any_batch_and_size_in_cielab_units(model: ColorModel, tmp_path: Path) -> None:
    export_model(model, tmp_path / "model.onnx", {"working_size": "256"})
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for shape in ((1, 1, 64, 64), (5, 1, 96, 128)):
        L = torch.rand(shape) * 100
        found = session.run(["ab"], {"L": L.numpy()})[0]
        np.testing.assert_allclose(found, predict_ab(model, L), atol=1e-3)
    assert session.get_modelmeta().custom_metadata_map["working_size"] == "256"
    (L_info,), (ab_info,) = session.get_inputs(), session.get_outputs()
    assert (L_info.name, L_info.shape) == ("L", ["batch", 1, "height", "width"])
    assert (ab_info.name, ab_info.shape) == ("ab", ["batch", 2, "height", "width"])


def test_torch_export_takes_any_batch_and_size(model: ColorModel, tmp_path: Path) -> None:
    export_model(model, tmp_path / "model.pt2", {"working_size": "64"})
    extra = {"working_size": ""}
    program = torch.export.load(tmp_path / "model.pt2", extra_files=extra).module()
    L = torch.rand(3, 1, 96, 64) * 100
    torch.testing.assert_close(program(L), predict_ab(model, L).clone(), atol=1e-3, rtol=0)
    assert extra == {"working_size": "64"}


@pytest.mark.parametrize("ending", ["onnx", "pt2"])
def test_half_a_file_has_half_the_size_and_nearly_the_same_outputs(ending: str, tmp_path: Path) -> None:
    model = build_model("encoder_decoder", widths=[32, 64], latent=64).eval()
    full, half = (tmp_path / f"{name}.{ending}" for name in ("full", "half"))
    export_model(model, full, {})
    assert 0 < export_model(model, half, {}, half=True) <= HALF_TOLERANCE
    weights = 4 * sum(parameter.numel() for parameter in model.parameters())
    assert full.stat().st_size - half.stat().st_size == pytest.approx(weights / 2, rel=0.1)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lite", pytest.param("pix2pix_unet", marks=pytest.mark.long)])
def test_large_architectures_can_be_exported(name: str, tmp_path: Path) -> None:
    assert export_model(build_model(name), tmp_path / "model.pt2", {}) <= TOLERANCE


def saved(model: ColorModel, folder: Path) -> CheckpointConfig:
    save_checkpoint(folder, model, 64, {"epoch": 3})
    return load_checkpoint(folder)[1]


def test_a_checkpoint_of_half_the_size_gives_nearly_the_same(model: ColorModel, tmp_path: Path) -> None:
    original = saved(model, tmp_path / "original")
    worst = export_half(model, tmp_path / "half", original)
    half, config = load_checkpoint(tmp_path / "half")
    assert (config.working_size, config.training) == (64, {"epoch": 3})
    L = torch.rand(2, 1, 64, 64) * 100
    assert 0 < (predict_ab(half, L) - predict_ab(model, L)).abs().max() < 10 * worst
    assert worst <= HALF_TOLERANCE


def test_half_a_checkpoint_is_loaded_as_float32(model: ColorModel, tmp_path: Path) -> None:
    export_half(model, tmp_path / "half", saved(model, tmp_path / "original"))
    stored = load_file(tmp_path / "half" / "model.safetensors")
    kernels = {key for key, value in model.state_dict().items() if value.ndim > 1}
    assert kernels == {key for key, value in stored.items() if value.dtype == torch.float16}
    loaded = load_checkpoint(tmp_path / "half")[0].state_dict()
    for key, value in model.state_dict().items():
        assert torch.equal(loaded[key], value.half().float() if key in kernels else value)


def test_weights_beyond_float16_are_not_kept(model: ColorModel, tmp_path: Path) -> None:
    with torch.no_grad():
        next(parameter for parameter in model.parameters() if parameter.ndim > 1).fill_(1e6)
    original = saved(model, tmp_path / "original")
    with pytest.raises(UserError, match="its outputs differ from those of the checkpoint"):
        export_half(model, tmp_path / "half", original)
    assert not (tmp_path / "half").exists()


@pytest.mark.parametrize("offset", [1.0, float("nan")])
def test_an_export_with_other_outputs_is_not_kept(
    offset: float, model: ColorModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = onnxruntime.InferenceSession.run

    def wrong(
        session: onnxruntime.InferenceSession, names: list[str], inputs: dict[str, np.ndarray]
    ) -> list[np.ndarray]:
        return [ab + offset for ab in run(session, names, inputs)]

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", wrong)
    with pytest.raises(UserError, match=f"its outputs differ from those of the checkpoint by {offset:.0f}"):
        export_model(model, tmp_path / "model.onnx", {"working_size": "256"})
    assert list(tmp_path.iterdir()) == []


def test_rounding_of_predictions_beyond_all_colors_is_no_difference(tmp_path: Path) -> None:
    model = build_model("lite", width=4)
    with torch.no_grad():
        for parameter in list(model.parameters())[-2:]:  # the layer that predicts ab
            parameter.mul_(1e5)
    assert export_model(model, tmp_path / "model.onnx", {}) <= TOLERANCE


def test_other_endings_are_refused(model: ColorModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must end in \.onnx or \.pt2"):
        export_model(model, tmp_path / "model.pb", {})
