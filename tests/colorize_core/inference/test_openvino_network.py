"""Networks compiled by OpenVINO, against torch."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from colorize_core.errors import UserError
from colorize_core.inference import openvino_network
from colorize_core.inference.batching import BatchPredictor
from colorize_core.inference.engines import is_openvino_installed
from colorize_core.inference.openvino_network import MAX_DIFFERENCE, open_network
from colorize_core.inference.prediction import predict_ab
from colorize_core.models import build_model
from colorize_core.runtime.precision import Precision

pytestmark = pytest.mark.skipif(not is_openvino_installed(), reason="the extra openvino is not installed")
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the converted networks."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "colorize" / "openvino"


def _model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_model("lite").eval()


def _open(model: nn.Module, precision: Precision = "fp32") -> Any:
    network = open_network(model, CPU, precision, "openvino")
    assert network is not None
    return network


@pytest.mark.parametrize("shape", [(1, 1, 64, 64), (3, 1, 32, 160), (1, 1, 256, 96)])
def test_colors_are_those_of_torch_at_every_shape(shape: tuple[int, ...]) -> None:
    model, L = _model(), torch.rand(*shape) * 100
    torch.testing.assert_close(predict_ab(_open(model), L), predict_ab(model, L).clone(), atol=0.01, rtol=0)


def test_bfloat16_is_within_the_tolerance() -> None:
    model, L = _model(), torch.rand(1, 1, 96, 96) * 100
    difference = (predict_ab(_open(model, "bf16"), L) - predict_ab(model, L)).abs().mean()
    assert 0 < difference < MAX_DIFFERENCE["bf16"]


def test_a_photograph_has_the_same_color_in_every_batch() -> None:
    predictor = BatchPredictor(_model(), CPU, "auto", "openvino")
    lightness = [torch.rand(1, 1, 64, 64) * 100 for _ in range(4)]
    together = predictor.predict(lightness, [(64, 64)] * 4)
    for L, ab in zip(lightness, together, strict=True):
        [alone] = predictor.predict([L], [(64, 64)])
        assert ab is not None
        assert alone is not None
        assert torch.equal(ab, alone)


def test_a_converted_network_is_read_from_the_disk(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, L = _model(), torch.rand(1, 1, 64, 64) * 100
    first = predict_ab(_open(model), L)
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(openvino_network, "_convert", None)
    assert torch.equal(predict_ab(_open(model), L), first)


def test_other_weights_are_another_network(cache: Path) -> None:
    _open(_model(0))
    _open(_model(1))
    assert len(list(cache.iterdir())) == 2


def test_only_the_networks_used_last_are_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_network, "_MAX_CACHED", 2)
    for seed in (0, 1, 0, 2):
        _open(_model(seed))
    kept = {each.name for each in cache.iterdir()}
    version = openvino_network._import().get_version()
    assert kept == {openvino_network._identity(_model(seed), version) for seed in (0, 2)}


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    _open(_model())


class _Lossy(nn.Module):
    """Differs between tracing and running."""

    def forward(self, L: Tensor) -> Tensor:
        return torch.cat((L, L), dim=1) * (0.0 if torch.jit.is_tracing() else 1.0)


class _Broken(nn.Module):
    """Cannot be converted."""

    def forward(self, L: Tensor) -> Tensor:
        if torch.jit.is_tracing():
            raise NotImplementedError("no such operation")
        return torch.cat((L, L), dim=1)


@pytest.mark.parametrize(
    ("model", "reason"), [(_Lossy(), "its colors differ by"), (_Broken(), "Couldn't get TorchScript module")]
)
def test_torch_runs_what_openvino_cannot(model: nn.Module, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    predictor = BatchPredictor(model, CPU, "fp32", "auto")
    assert not predictor.concurrent
    [record] = caplog.records
    assert record.getMessage().startswith("engine: torch runs the model")
    assert reason in record.getMessage()


def test_torch_is_used_where_openvino_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert open_network(_model(), CPU, "fp32", "auto") is None
    with pytest.raises(UserError, match=r"pip install 'colorize\[openvino\]'"):
        open_network(_model(), CPU, "fp32", "openvino")


def test_openvino_is_not_for_gpus() -> None:
    assert open_network(_model(), torch.device("cuda"), "fp32", "auto") is None
    with pytest.raises(UserError, match="use engine=auto or torch with GPUs"):
        open_network(_model(), torch.device("cuda"), "fp32", "openvino")


def test_nothing_is_reported_to_the_internet() -> None:
    _open(_model())
    assert sys.modules["openvino_telemetry"] is None
    assert sys.modules["openvino.tools.ovc.telemetry_stub"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet_unet", "pix2pix_unet", "pretrained_unet", "ddcolor_tiny", "siggraph17"])
def test_every_kind_of_model_is_converted(name: str) -> None:
    torch.manual_seed(0)
    model, L = build_model(name).eval(), torch.rand(1, 1, 64, 96) * 100
    torch.testing.assert_close(predict_ab(_open(model), L), predict_ab(model, L).clone(), atol=0.05, rtol=0)
