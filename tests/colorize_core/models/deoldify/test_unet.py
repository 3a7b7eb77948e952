"""The parts of DeOldify's networks. tests/colorize_core/published/test_deoldify.py compares whole networks."""

import numpy as np
import pytest
import skimage
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from colorize_core.models import check_model
from colorize_core.models.deoldify.unet import BlockWidths, DecoderBlock, predict_chroma

MEAN, DEVIATION = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


class Constant(nn.Module):
    """Predicts one RGB color, given in [0, 1] or beyond, and remembers what it was shown."""

    def __init__(self, rgb: tuple[float, float, float]) -> None:
        super().__init__()
        self.rgb = torch.tensor(rgb).view(1, 3, 1, 1)

    def forward(self, seen: Tensor) -> Tensor:
        self.seen = seen
        return ((self.rgb - MEAN) / DEVIATION).expand_as(seen)


def test_the_generator_sees_the_luma_of_a_gray_photograph() -> None:
    """As DeOldify makes it: Pillow's conversion to L (ITU-R BT.601), to RGB, and ImageNet's normalization."""
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    photograph = Image.fromarray(np.stack([gray] * 3, axis=2))
    expected = torch.tensor(np.asarray(photograph.convert("LA").convert("RGB"))).permute(2, 0, 1)[None] / 255
    L = torch.from_numpy(skimage.color.rgb2lab(np.asarray(photograph)))[..., 0].float()[None, None] / 50 - 1
    generator = Constant((0.5, 0.5, 0.5))
    predict_chroma(generator, L)
    torch.testing.assert_close(generator.seen * DEVIATION + MEAN, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("rgb", [(0.9, 0.2, 0.4), (0.1, 0.5, 0.5), (0.5, 0.5, 0.5), (1.2, -0.3, 0.5)])
def test_the_prediction_is_the_chroma_of_the_generated_color(rgb: tuple[float, float, float]) -> None:
    """Values beyond [0, 1] are clipped first."""
    expected = skimage.color.rgb2lab(np.clip(rgb, 0, 1)[None, None])[0, 0, 1:] / 110
    found = predict_chroma(Constant(rgb), torch.zeros(2, 1, 32, 32))
    assert found.shape == (2, 2, 32, 32)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[1, :, 5, 7], torch.tensor(expected).float(), atol=1e-5, rtol=0)


def test_bfloat16_does_not_change_the_conversion_to_chroma() -> None:
    L = torch.zeros(1, 1, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = predict_chroma(Constant((0.9, 0.2, 0.4)), L)
    assert torch.equal(rounded, predict_chroma(Constant((0.9, 0.2, 0.4)), L))


@pytest.mark.parametrize("convolutions", [(24,), (24, 16)], ids=["wide", "deep"])
@pytest.mark.parametrize("attention", [False, True])
def test_a_block_of_the_decoder_is_that_of_deoldify(convolutions: tuple[int, ...], attention: bool) -> None:
    """DeOldify's unet.py and layers.py in functions: the wide block has one convolution, the deep one two."""
    torch.manual_seed(0)
    block = DecoderBlock(12, 6, BlockWidths(8, convolutions), attention=attention).eval().double()
    for key, value in block.state_dict().items():
        if key.endswith(("running_mean", "gamma")):
            value.normal_()
        elif key.endswith("running_var"):
            value.uniform_(0.5, 2)
    state = block.state_dict()
    below, skip = torch.randn(2, 12, 4, 6, dtype=torch.float64), torch.randn(2, 6, 8, 12, dtype=torch.float64)

    def norm(x: Tensor, name: str) -> Tensor:
        shift, variance, weight, bias = (
            state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, shift, variance, weight, bias)

    def attend(x: Tensor, name: str) -> Tensor:
        pixels = x.flatten(2)
        query, key, value = (
            torch.einsum("oi,bip->bop", state[f"{name}.{each}.weight"][..., 0], pixels)
            for each in ("query", "key", "value")
        )
        shares = torch.einsum("bci,bcj->bij", query, key).softmax(1)
        return x + state[f"{name}.gamma"] * torch.einsum("bci,bij->bcj", value, shares).view_as(x)

    up = F.relu(norm(F.conv2d(below, state["up.0.weight"]), "up.1"))
    up = F.pixel_shuffle(up, 2)
    up = F.avg_pool2d(F.pad(up, (1, 0, 1, 0), mode="replicate"), 2, stride=1)
    x = F.relu(torch.cat((up, norm(skip, "norm")), dim=1))
    for number, _ in enumerate(convolutions):
        x = norm(F.relu(F.conv2d(x, state[f"convs.{number}.0.weight"], padding=1)), f"convs.{number}.2")
    if attention:
        x = attend(x, f"convs.{len(convolutions)}")
    torch.testing.assert_close(block(below, skip), x)


@pytest.mark.parametrize(
    ("name", "published", "gains"),
    [("deoldify_artistic", 63_646_881, 4 * 300), ("deoldify_stable", 218_222_197, 4 * 256)],
)
def test_parameters_are_those_of_the_published_networks(name: str, published: int, gains: int) -> None:
    """The published ones have a gain for each of the weight-normalized kernels of the last upsampling in addition."""
    assert sum(parameter.numel() for parameter in check_model(name).parameters()) == published - gains


@pytest.mark.parametrize("name", ["deoldify_artistic", "deoldify_stable"])
def test_attention_is_at_an_eighth_of_the_side(name: str) -> None:
    model = check_model(name).eval()
    sides: list[int] = []
    for key, module in model.named_modules():
        if key.endswith(".query"):
            module.register_forward_hook(lambda _module, _inputs, output: sides.append(output.shape[-1]))
    model(torch.empty(1, 1, 64, 96, device="meta"))
    assert sides == [8 * 12]
