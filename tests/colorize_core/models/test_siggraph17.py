import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from colorize_core.models import build_model, check_model
from colorize_core.models.siggraph17 import SIGGRAPH17

# Of richzhang/colorization, colorizers/siggraph17.py: block, then the outputs of its 3x3 convolutions from index
# `first` on, every second index, and the channels of its inputs. A BatchNorm follows at the next index but one.
BLOCKS = {
    "model1": (0, 4, [64, 64]),
    "model2": (0, 64, [128, 128]),
    "model3": (0, 128, [256, 256, 256]),
    "model4": (0, 256, [512, 512, 512]),
    "model5": (0, 512, [512, 512, 512]),
    "model6": (0, 512, [512, 512, 512]),
    "model7": (0, 512, [512, 512, 512]),
    "model8": (1, 256, [256, 256]),
    "model9": (1, 128, [128]),
}
SINGLE = {  # outputs, inputs, kernel; those of `up` are transposed
    "model8up.0": (256, 512, 4),
    "model3short8.0": (256, 256, 3),
    "model9up.0": (128, 256, 4),
    "model2short9.0": (128, 128, 3),
    "model10up.0": (128, 128, 4),
    "model1short10.0": (128, 64, 3),
    "model10.1": (128, 128, 3),
    "model_class.0": (529, 256, 1),
    "model_out.0": (2, 128, 1),
}


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes in siggraph17-df00044c.pth."""
    shapes: dict[str, tuple[int, ...]] = {}
    for block, (index, inputs, outputs) in BLOCKS.items():
        for channels in outputs:
            shapes[f"{block}.{index}.weight"] = (channels, inputs, 3, 3)
            shapes[f"{block}.{index}.bias"] = (channels,)
            inputs, index = channels, index + 2
        for key in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{block}.{index}.{key}"] = (inputs,)
        shapes[f"{block}.{index}.num_batches_tracked"] = ()
    for name, (channels, inputs, kernel) in SINGLE.items():
        first, second = (inputs, channels) if "up." in name else (channels, inputs)
        shapes[f"{name}.weight"] = (first, second, kernel, kernel)
        shapes[f"{name}.bias"] = (channels,)
    return shapes


def restated(state: dict[str, Tensor], L: Tensor, hint_ab: Tensor, mask: Tensor) -> Tensor:
    """The published forward pass; L in [0, 100], a and b of hints in CIELAB units, the mask as the network sees it."""

    def conv(x: Tensor, name: str, padding: int = 1, dilation: int = 1) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding, dilation=dilation)

    def up(x: Tensor, name: str) -> Tensor:
        return F.conv_transpose2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride=2, padding=1)

    def block(x: Tensor, name: str) -> Tensor:
        index, _, outputs = BLOCKS[name]
        reach = 2 if name in ("model5", "model6") else 1
        for _ in outputs:
            x, index = F.relu(conv(x, f"{name}.{index}", reach, reach)), index + 2
        mean, variance, weight, bias = (
            state[f"{name}.{index}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, weight, bias)

    one = block(torch.cat(((L - 50) / 100, hint_ab / 110, mask), dim=1), "model1")
    two = block(one[..., ::2, ::2], "model2")
    three = block(two[..., ::2, ::2], "model3")
    x = three[..., ::2, ::2]
    for name in ("model4", "model5", "model6", "model7"):
        x = block(x, name)
    x = block(F.relu(up(x, "model8up.0") + conv(three, "model3short8.0")), "model8")
    x = block(F.relu(up(x, "model9up.0") + conv(two, "model2short9.0")), "model9")
    x = F.relu(up(x, "model10up.0") + conv(one, "model1short10.0"))
    x = F.leaky_relu(conv(x, "model10.1"), 0.2)
    return 110 * torch.tanh(conv(x, "model_out.0", padding=0))


@pytest.fixture(scope="module")
def model() -> SIGGRAPH17:
    """In evaluation mode, with statistics that are not those of the start."""
    torch.manual_seed(0)
    network = build_model("siggraph17")
    for key, value in network.state_dict().items():
        if key.endswith("running_mean"):
            value.normal_(0.3, 0.1)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    return network.eval()


@pytest.fixture(scope="module")
def inputs() -> tuple[Tensor, Tensor]:
    """L and hints of two photographs, on the network's scale; the second one has two hints."""
    random = torch.Generator().manual_seed(1)
    L = torch.rand(2, 1, 64, 48, generator=random) * 2 - 1
    hints = torch.zeros(2, 3, 64, 48)
    hints[1, :, 10:19, 20:29] = torch.tensor([0.5, -0.3, 1])[:, None, None]
    hints[1, :, 50, 3] = torch.tensor([-0.2, 0.7, 1])
    return L, hints


def test_names_and_shapes_are_those_of_the_file() -> None:
    shapes = {key: tuple(value.shape) for key, value in check_model("siggraph17").state_dict().items()}
    assert shapes == published_shapes()
    assert len(shapes) == 107


def test_parameters_and_bytes_are_those_of_the_file() -> None:
    """Counted on the published network: 34,187,027 parameters; 136,771,220 bytes with BatchNorm's statistics."""
    model = check_model("siggraph17")
    assert sum(parameter.numel() for parameter in model.parameters()) == 34_187_027
    assert sum(value.numel() * value.element_size() for value in model.state_dict().values()) == 136_771_220


@pytest.mark.parametrize(("centered", "offset"), [(False, 0), (True, 0.5)])
def test_colors_are_those_of_the_published_network(
    centered: bool, offset: float, model: SIGGRAPH17, inputs: tuple[Tensor, Tensor]
) -> None:
    """The converted Caffe model sees the mask, the one of the PyTorch code sees the mask minus 0.5."""
    other = build_model("siggraph17", centered_mask=centered).eval()
    other.load_state_dict(model.state_dict())
    L, hints = inputs
    with torch.inference_mode():
        found = 110 * other(L, hints)
        expected = restated(model.state_dict(), (L + 1) * 50, 110 * hints[:, :2], hints[:, 2:] - offset)
    assert expected.std() > 1
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-5)


def test_no_hints_are_a_mask_of_zeros(model: SIGGRAPH17, inputs: tuple[Tensor, Tensor]) -> None:
    L, hints = inputs
    with torch.inference_mode():
        alone = model(L)
        assert torch.equal(alone, model(L, torch.zeros_like(hints)))
        assert torch.equal(alone, model.outputs(L)["ab"])
        hinted = model.outputs(L, hints)["ab"]
    torch.testing.assert_close(hinted[0], alone[0], atol=1e-6, rtol=1e-5)
    assert (hinted[1] - alone[1]).abs().amax((0, 2))[3] > 1e-3


def test_the_unused_classifier_is_not_trained(model: SIGGRAPH17) -> None:
    frozen = {key for key, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {"model_class.0.weight", "model_class.0.bias"}


def test_the_convention_of_the_mask_is_part_of_the_architecture() -> None:
    model = check_model("siggraph17", centered_mask=True)
    assert model.architecture == {"name": "siggraph17", "options": {"centered_mask": True}}
