"""DeOldify's generators: a network of functions on tensors as published gives the colors of the imported model."""

from collections.abc import Iterator
from math import prod
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from colorize_core.color.lab import rgb_to_lab
from colorize_core.errors import UserError
from colorize_core.published.deoldify import FAMILY
from colorize_core.published.recognition import load_published

Shapes = dict[str, tuple[int, ...]]
DEEP, WIDE = "deoldify_artistic", "deoldify_stable"
# Channels of the encoder's stages and numbers of their blocks, skips, and the decoder: in and out of the shuffle, skip,
# and outputs of each convolution.
BODY = {DEEP: ((64, 128, 256, 512), (3, 4, 6, 3)), WIDE: ((256, 512, 1024, 2048), (3, 4, 23, 3))}
DECODER = {
    DEEP: (
        (512, 256, 256, (768, 768)),
        (768, 384, 128, (768, 768)),
        (768, 384, 64, (672, 672)),
        (672, 336, 64, (300, 300)),
    ),
    WIDE: ((2048, 512, 1024, (512,)), (512, 512, 512, (512,)), (512, 512, 256, (512,)), (512, 256, 64, (256,))),
}


def body_convolutions(network: str) -> Iterator[tuple[str, str, int, int, int, int]]:
    """Name and BatchNorm of each convolution of the encoder, inputs, outputs, kernel, stride."""
    yield "layers.0.0", "layers.0.1", 3, 64, 7, 2
    below = 64
    for stage, (width, count) in enumerate(zip(*BODY[network], strict=True)):
        for block in range(count):
            prefix, stride = f"layers.0.{stage + 4}.{block}", 2 if stage and not block else 1
            inner = width // 4
            layers = [(below, width, 3, stride), (width, width, 3, 1)]
            if network == WIDE:
                layers = [(below, inner, 1, 1), (inner, inner, 3, stride), (inner, width, 1, 1)]
            for number, (inputs, outputs, kernel, step) in enumerate(layers, start=1):
                yield f"{prefix}.conv{number}", f"{prefix}.bn{number}", inputs, outputs, kernel, step
            if stride == 2 or below != width:
                yield f"{prefix}.downsample.0", f"{prefix}.downsample.1", below, width, 1, stride
            below = width


def published_shapes(network: str) -> Shapes:
    """Names and shapes in the `model` of the file."""
    shapes: Shapes = {}

    def norm(name: str, channels: int) -> None:
        shapes.update({f"{name}.{key}": (channels,) for key in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{name}.num_batches_tracked"] = ()

    def spectral(name: str, *shape: int, bias: bool = False) -> None:
        shapes.update({f"{name}.weight_orig": shape, f"{name}.weight_u": shape[:1]})
        shapes[f"{name}.weight_v"] = (prod(shape[1:]),)
        if bias:
            shapes[f"{name}.bias"] = shape[:1]

    for conv, norm_name, inputs, outputs, kernel, _ in body_convolutions(network):
        shapes[f"{conv}.weight"] = (outputs, inputs, kernel, kernel)
        norm(norm_name, outputs)
    bottom = BODY[network][0][-1]
    norm("layers.1", bottom)
    for number, (outputs, inputs) in enumerate(((2 * bottom, bottom), (bottom, 2 * bottom))):
        spectral(f"layers.3.{number}.0", outputs, inputs, 3, 3)
        norm(f"layers.3.{number}.2", outputs)
    for layer, (below, up, skip, widths) in enumerate(DECODER[network], start=4):
        spectral(f"layers.{layer}.shuf.conv.0", 4 * up, below, 1, 1)
        norm(f"layers.{layer}.shuf.conv.1", 4 * up)
        norm(f"layers.{layer}.bn", skip)
        channels = up + skip
        for number, outputs in enumerate(widths, start=1):
            name = f"layers.{layer}.conv{number if network == DEEP else ''}"
            spectral(f"{name}.0", outputs, channels, 3, 3)
            norm(f"{name}.2", outputs)
            channels = outputs
        if layer == 5:
            spectral(f"{name}.3.query", channels // 8, channels, 1)
            spectral(f"{name}.3.key", channels // 8, channels, 1)
            spectral(f"{name}.3.value", channels, channels, 1)
            shapes[f"{name}.3.gamma"] = (1,)
    shapes |= {"layers.8.conv.0.bias": (4 * channels,), "layers.8.conv.0.weight_g": (4 * channels, 1, 1, 1)}
    shapes["layers.8.conv.0.weight_v"] = (4 * channels, channels, 1, 1)
    for number in range(2):
        spectral(f"layers.10.layers.{number}.0", channels + 3, channels + 3, 3, 3, bias=True)
    spectral("layers.11.0", 3, channels + 3, 1, 1, bias=True)
    return shapes


def random_state(shapes: Shapes) -> dict[str, Tensor]:
    """Weights of about the size that trained ones have; u and v give about the largest singular value of each."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(1000)
        elif name.endswith(("running_var", "weight_g")):
            state[name] = torch.rand(shape, generator=generator) + 0.5
        else:
            deviation = (2 / prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1
            state[name] = torch.randn(shape, generator=generator) * deviation
            if len(shape) == 1 and name.endswith((".weight", ".gamma")):
                state[name] += 1
    for name in [name for name in shapes if name.endswith("weight_orig")]:
        prefix, matrix = name.removesuffix("orig"), state[name].flatten(1)
        v = F.normalize(matrix.T @ F.normalize(torch.ones(len(matrix)), dim=0), dim=0)
        state[f"{prefix}u"], state[f"{prefix}v"] = F.normalize(matrix @ v, dim=0), v
    return state


def restated(network: str, state: dict[str, Tensor], gray: Tensor) -> Tensor:
    """DeOldify's forward pass: gray (B, 1, H, W) in [0, 1] to RGB in [0, 1]."""

    def norm(x: Tensor, name: str) -> Tensor:
        return F.batch_norm(x, *(state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")))

    def weight(name: str) -> Tensor:
        matrix = state[f"{name}.weight_orig"]
        return matrix / torch.dot(state[f"{name}.weight_u"], matrix.flatten(1) @ state[f"{name}.weight_v"])

    def conv(x: Tensor, name: str) -> Tensor:
        kernel = weight(name)
        return F.conv2d(x, kernel, state.get(f"{name}.bias"), padding=kernel.shape[-1] // 2)

    def attend(x: Tensor, name: str) -> Tensor:
        query, key, value = (F.conv1d(x.flatten(2), weight(f"{name}.{part}")) for part in ("query", "key", "value"))
        shares = F.softmax(query.transpose(1, 2) @ key, dim=1)
        return state[f"{name}.gamma"] * (value @ shares).view_as(x) + x

    def encode(x: Tensor) -> list[Tensor]:
        layers = {name: (norm_name, kernel, step) for name, norm_name, *_, kernel, step in body_convolutions(network)}

        def apply(x: Tensor, name: str) -> Tensor:
            norm_name, kernel, step = layers[name]
            return norm(F.conv2d(x, state[f"{name}.weight"], stride=step, padding=kernel // 2), norm_name)

        x = F.relu(apply(x, "layers.0.0"))
        features = [x]
        x = F.max_pool2d(x, 3, 2, 1)
        for stage, count in enumerate(BODY[network][1], start=4):
            for block in range(count):
                prefix = f"layers.0.{stage}.{block}"
                last = 2 if network == DEEP else 3
                y = x
                for number in range(1, last + 1):
                    y = apply(y, f"{prefix}.conv{number}")
                    y = F.relu(y) if number < last else y
                shortcut = f"{prefix}.downsample.0"
                x = F.relu(y + (apply(x, shortcut) if shortcut in layers else x))
            features.append(x)
        return features

    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    normalized = (gray.repeat(1, 3, 1, 1) - mean) / deviation
    *skips, x = encode(normalized)
    x = F.relu(norm(x, "layers.1"))
    for number in range(2):
        x = norm(F.relu(conv(x, f"layers.3.{number}.0")), f"layers.3.{number}.2")
    for layer, (_, _, _, widths) in enumerate(DECODER[network], start=4):
        up = F.relu(norm(conv(x, f"layers.{layer}.shuf.conv.0"), f"layers.{layer}.shuf.conv.1"))
        up = F.avg_pool2d(F.pad(F.pixel_shuffle(up, 2), (1, 0, 1, 0), mode="replicate"), 2, stride=1)
        x = F.relu(torch.cat((up, norm(skips.pop(), f"layers.{layer}.bn")), dim=1))
        for number in range(1, len(widths) + 1):
            name = f"layers.{layer}.conv{number if network == DEEP else ''}"
            x = norm(F.relu(conv(x, f"{name}.0")), f"{name}.2")
        if layer == 5:
            x = attend(x, f"{name}.3")
    direction, gain = state["layers.8.conv.0.weight_v"], state["layers.8.conv.0.weight_g"]
    kernel = direction * gain / torch.linalg.vector_norm(direction, dim=(1, 2, 3), keepdim=True)
    up = F.pixel_shuffle(F.relu(F.conv2d(x, kernel, state["layers.8.conv.0.bias"])), 2)
    up = F.avg_pool2d(F.pad(up, (1, 0, 1, 0), mode="replicate"), 2, stride=1)
    x = torch.cat((up, normalized), dim=1)
    inner = F.relu(conv(F.relu(conv(x, "layers.10.layers.0.0")), "layers.10.layers.1.0"))
    x = conv(inner + x, "layers.11.0").sigmoid() * 6 - 3
    return (x * deviation + mean).clamp(0, 1)


@pytest.mark.parametrize(
    ("network", "entries", "parameters", "size"),
    [(DEEP, 378, 63_646_881, 255_070_532), (WIDE, 754, 218_222_197, 873_920_916)],
)
def test_the_expected_names_are_those_of_the_files(network: str, entries: int, parameters: int, size: int) -> None:
    """Counted on DeOldify's own networks: entries, parameters, and bytes with statistics and the vectors u and v."""
    shapes = published_shapes(network)
    buffers = ("running_mean", "running_var", "num_batches_tracked", "weight_u")
    numbers = {key: prod(shape) for key, shape in shapes.items()}
    counted = {
        key: number
        for key, number in numbers.items()
        if not key.endswith(buffers) and f"{key.removesuffix('_v')}_u" not in shapes
    }
    assert len(shapes) == entries
    assert sum(counted.values()) == parameters
    assert sum(n * (8 if key.endswith("num_batches_tracked") else 4) for key, n in numbers.items()) == size


@pytest.mark.parametrize("network", [DEEP, WIDE])
def test_every_published_tensor_has_its_place(network: str) -> None:
    """Without computing: on the meta device."""
    state = {key: torch.empty(shape, device="meta") for key, shape in published_shapes(network).items()}
    assert FAMILY.recognize(state)
    converted = FAMILY.convert(state, "memory")
    assert converted.model == network
    del state["layers.11.0.bias"], state["layers.5.bn.weight"]
    with pytest.raises(UserError, match=r"layers\.11\.0\.bias: missing in the file"):
        FAMILY.convert(state, "memory")


def test_the_colors_of_an_imported_file_are_those_of_deoldify(tmp_path: Path) -> None:
    """A legacy pickle with the state of the optimizer, which holds slices, as fastai 1.0 writes it."""
    state = random_state(published_shapes(DEEP))
    state["layers.11.0.weight_u"] /= 8  # so that part of the image is beyond [0, 1], as the size of the kernel is
    content = {"model": state, "opt": {"layers": [slice(0, 3, None)]}}
    torch.save(content, tmp_path / "artistic.pth", _use_new_zipfile_serialization=False)
    model = load_published(str(tmp_path / "artistic.pth")).model.eval()
    assert model.architecture == {"name": DEEP, "options": {}}
    gray = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        L = rgb_to_lab(gray.repeat(1, 3, 1, 1))[:, :1]
        found, rgb = 110 * model(L / 50 - 1), restated(DEEP, state, gray)
        expected = rgb_to_lab(rgb)[:, 1:]
    assert expected.std() > 5
    assert 0.05 < ((rgb == 0) | (rgb == 1)).float().mean() < 0.6
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=1e-3)
