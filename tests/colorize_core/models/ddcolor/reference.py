"""DDColor restated: names and shapes of the published files, and the plain network of the paper, in functional form.

It shares no code with the project, and takes no short cut: the features of the pixels, the 100 maps and the 1x1
convolution over them are computed as published.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SIZES = {
    "ddcolor_tiny": ((96, 192, 384, 768), (3, 3, 9, 3)),
    "ddcolor_large": ((192, 384, 768, 1536), (3, 3, 27, 3)),
}
"""Channels and blocks of the encoder's stages."""
PARAMETERS = {"ddcolor_tiny": 55_006_640, "ddcolor_large": 227_869_328}
"""Of the published networks."""
ENTRIES = {"ddcolor_tiny": (440, 220_204_100), "ddcolor_large": (602, 911_687_492)}
"""Tensors of the published networks, and their bytes."""
QUERIES, DIM, HEADS = 100, 256, 8
_DECODER = "decoder.color_decoder."


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published file."""
    dims, depths = SIZES[name]
    found: dict[str, tuple[int, ...]] = {"mean": (1, 3, 1, 1), "std": (1, 3, 1, 1)}

    def add(prefix: str, **each: tuple[int, ...]) -> None:
        found.update({f"{prefix}.{key}": shape for key, shape in each.items()})

    def norm(prefix: str, channels: int) -> None:
        add(prefix, weight=(channels,), bias=(channels,))

    def batch_norm(prefix: str, channels: int) -> None:
        norm(prefix, channels)
        add(prefix, running_mean=(channels,), running_var=(channels,), num_batches_tracked=())

    def spectral(prefix: str, *shape: int) -> None:
        add(prefix, weight_orig=shape, weight_u=shape[:1], weight_v=(math.prod(shape[1:]),))

    arch = "encoder.arch"
    add(f"{arch}.downsample_layers.0.0", weight=(dims[0], 3, 4, 4), bias=(dims[0],))
    norm(f"{arch}.downsample_layers.0.1", dims[0])
    for stage in range(4):
        c = dims[stage]
        if stage:
            norm(f"{arch}.downsample_layers.{stage}.0", dims[stage - 1])
            add(f"{arch}.downsample_layers.{stage}.1", weight=(c, dims[stage - 1], 2, 2), bias=(c,))
        for block in range(depths[stage]):
            prefix = f"{arch}.stages.{stage}.{block}"
            add(prefix, gamma=(c,))
            add(f"{prefix}.dwconv", weight=(c, 1, 7, 7), bias=(c,))
            norm(f"{prefix}.norm", c)
            add(f"{prefix}.pwconv1", weight=(4 * c, c), bias=(4 * c,))
            add(f"{prefix}.pwconv2", weight=(c, 4 * c), bias=(c,))
        norm(f"{arch}.norm{stage}", c)
    norm(f"{arch}.norm", dims[3])

    below = dims[3]
    for number, (skip, out) in enumerate(zip((dims[2], dims[1], dims[0]), (512, 512, 256), strict=True)):
        prefix = f"decoder.layers.{number}"
        spectral(f"{prefix}.shuf.conv.0", 4 * out, below, 1, 1)
        batch_norm(f"{prefix}.shuf.conv.1", 4 * out)
        batch_norm(f"{prefix}.bn", skip)
        spectral(f"{prefix}.conv.0", out, out + skip, 3, 3)
        batch_norm(f"{prefix}.conv.2", out)
        below = out
    add("decoder.last_shuf.conv.0", bias=(4096,))
    spectral("decoder.last_shuf.conv.0", 4096, 256, 1, 1)

    add(f"{_DECODER}query_feat", weight=(QUERIES, DIM))
    add(f"{_DECODER}query_embed", weight=(QUERIES, DIM))
    add(f"{_DECODER}level_embed", weight=(3, DIM))
    for number, channels in enumerate((512, 512, 256)):
        add(f"{_DECODER}input_proj.{number}", weight=(DIM, channels, 1, 1), bias=(DIM,))
    for number in range(9):
        for kind, attention in (("cross", "multihead_attn"), ("self", "self_attn")):
            prefix = f"{_DECODER}transformer_{kind}_attention_layers.{number}"
            add(f"{prefix}.{attention}", in_proj_weight=(3 * DIM, DIM), in_proj_bias=(3 * DIM,))
            add(f"{prefix}.{attention}.out_proj", weight=(DIM, DIM), bias=(DIM,))
            norm(f"{prefix}.norm", DIM)
        prefix = f"{_DECODER}transformer_ffn_layers.{number}"
        add(f"{prefix}.linear1", weight=(2048, DIM), bias=(2048,))
        add(f"{prefix}.linear2", weight=(DIM, 2048), bias=(DIM,))
        norm(f"{prefix}.norm", DIM)
    norm(f"{_DECODER}decoder_norm", DIM)
    for number in range(3):
        add(f"{_DECODER}color_embed.layers.{number}", weight=(DIM, DIM), bias=(DIM,))
    add("refine_net.0.0", bias=(2,))
    spectral("refine_net.0.0", 2, QUERIES + 3, 1, 1)
    return found


def random_state(name: str) -> dict[str, Tensor]:
    """A published file with random weights of about the size that trained ones have."""
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}
    for key, shape in shapes(name).items():
        values = torch.randn(shape, generator=generator)
        last = key.rpartition(".")[2]
        if last == "num_batches_tracked":
            values = torch.tensor(1000)
        elif last == "running_var":
            values = values.square() * 0.2 + 0.8
        elif last == "gamma":
            values = values * 0.3
        elif len(shape) <= 1:  # norms around 1, everything else around 0
            is_scale = last == "weight"
            values = values * 0.1 + is_scale
        else:
            values = values * (1 / math.prod(shape[1:])) ** 0.5
        state[key] = values
    for key in [key for key in state if key.endswith("weight_orig")]:  # one step of the power iteration
        matrix = state[key].flatten(1)
        v = F.normalize(matrix.T @ state[key.replace("orig", "u")], dim=0)
        state[key.replace("orig", "v")] = v
        state[key.replace("orig", "u")] = F.normalize(matrix @ v, dim=0)
    state[f"{_DECODER}color_embed.layers.2.weight"] *= 50  # for colors of some tens of CIELAB units
    state["mean"] = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    state["std"] = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    return state


def colorize(state: dict[str, Tensor], L: Tensor, depths: tuple[int, ...]) -> Tensor:
    """The published pipeline: L (B, 1, H, W) in [0, 100] to ab in CIELAB units, limited to 128."""
    y = torch.where(L > 8, ((L + 16) / 116) ** 3, L / 903.3)
    gray = torch.where(y > 0.0031308, 1.055 * y ** (1 / 2.4) - 0.055, 12.92 * y)
    x = (torch.cat([gray] * 3, dim=1) - state["mean"]) / state["std"]
    skips = _encode(state, x, depths)
    outs, below = [], skips[3]
    for number in range(3):
        below = _unet_block(state, f"decoder.layers.{number}", below, skips[2 - number])
        outs.append(below)
    pixels = _upsample(_conv(state, "decoder.last_shuf.conv.0", below).relu(), 4)
    maps = torch.einsum("bqc,bchw->bqhw", _queries(state, outs), pixels)
    return _conv(state, "refine_net.0.0", torch.cat([maps, x], dim=1)).clamp(-128, 128)


def _conv(state: dict[str, Tensor], prefix: str, x: Tensor, **options: int) -> Tensor:
    """A convolution, plain or under the old spectral norm."""
    weight = state.get(f"{prefix}.weight")
    if weight is None:
        weight = state[f"{prefix}.weight_orig"]
        sigma = torch.einsum("o,oi,i->", state[f"{prefix}.weight_u"], weight.flatten(1), state[f"{prefix}.weight_v"])
        weight = weight / sigma
    return F.conv2d(x, weight, state.get(f"{prefix}.bias"), **options)


def _layer_norm(state: dict[str, Tensor], prefix: str, x: Tensor, axis: int, eps: float) -> Tensor:
    mean = x.mean(axis, keepdim=True)
    variance = (x - mean).square().mean(axis, keepdim=True)
    shape = [1] * x.ndim
    shape[axis] = -1
    weight, bias = (state[f"{prefix}.{name}"].view(shape) for name in ("weight", "bias"))
    return (x - mean) / (variance + eps).sqrt() * weight + bias


def _batch_norm(state: dict[str, Tensor], prefix: str, x: Tensor) -> Tensor:
    mean, variance, weight, bias = (
        state[f"{prefix}.{name}"].view(1, -1, 1, 1) for name in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def _encode(state: dict[str, Tensor], x: Tensor, depths: tuple[int, ...]) -> list[Tensor]:
    arch, features = "encoder.arch", []
    for stage, depth in enumerate(depths):
        down = f"{arch}.downsample_layers.{stage}"
        if stage == 0:
            x = _layer_norm(state, f"{down}.1", _conv(state, f"{down}.0", x, stride=4), 1, 1e-6)
        else:
            x = _conv(state, f"{down}.1", _layer_norm(state, f"{down}.0", x, 1, 1e-6), stride=2)
        for block in range(depth):
            name = f"{arch}.stages.{stage}.{block}"
            y = _conv(state, f"{name}.dwconv", x, padding=3, groups=x.shape[1])
            y = _layer_norm(state, f"{name}.norm", y, 1, 1e-6)
            y = torch.einsum("oi,bihw->bohw", state[f"{name}.pwconv1.weight"], y)
            y = y + state[f"{name}.pwconv1.bias"].view(1, -1, 1, 1)
            y = y * (1 + torch.erf(y / math.sqrt(2))) / 2
            y = torch.einsum("oi,bihw->bohw", state[f"{name}.pwconv2.weight"], y)
            y = y + state[f"{name}.pwconv2.bias"].view(1, -1, 1, 1)
            x = x + state[f"{name}.gamma"].view(1, -1, 1, 1) * y
        features.append(_layer_norm(state, f"{arch}.norm{stage}", x, 1, 1e-6))
    return features


def _upsample(x: Tensor, scale: int) -> Tensor:
    """Pixel shuffle, replication above and at the left, mean of 2x2."""
    batch, channels, height, width = x.shape
    x = x.view(batch, channels // scale**2, scale, scale, height, width)
    x = x.permute(0, 1, 4, 2, 5, 3).reshape(batch, channels // scale**2, height * scale, width * scale)
    x = torch.cat([x[:, :, :1], x], dim=2)
    x = torch.cat([x[:, :, :, :1], x], dim=3)
    return (x[:, :, :-1, :-1] + x[:, :, :-1, 1:] + x[:, :, 1:, :-1] + x[:, :, 1:, 1:]) / 4


def _unet_block(state: dict[str, Tensor], prefix: str, below: Tensor, skip: Tensor) -> Tensor:
    up = _upsample(_batch_norm(state, f"{prefix}.shuf.conv.1", _conv(state, f"{prefix}.shuf.conv.0", below)).relu(), 2)
    joined = torch.cat([up, _batch_norm(state, f"{prefix}.bn", skip)], dim=1).relu()
    return _batch_norm(state, f"{prefix}.conv.2", _conv(state, f"{prefix}.conv.0", joined, padding=1).relu())


def positions(height: int, width: int) -> Tensor:
    """DETR's sine encoding, (height * width, 256): rows in the first half, columns in the second."""
    encoded = torch.zeros(DIM, height, width)
    half = DIM // 2
    for channel in range(half):
        frequency = 10_000 ** (2 * (channel // 2) / half)
        wave = math.sin if channel % 2 == 0 else math.cos
        for row in range(height):
            encoded[channel, row] = wave((row + 1) / (height + 1e-6) * 2 * math.pi / frequency)
        for column in range(width):
            encoded[half + channel, :, column] = wave((column + 1) / (width + 1e-6) * 2 * math.pi / frequency)
    return encoded.flatten(1).T


def _attend(state: dict[str, Tensor], prefix: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """torch's nn.MultiheadAttention, written out."""
    weights, biases = state[f"{prefix}.in_proj_weight"].split(DIM), state[f"{prefix}.in_proj_bias"].split(DIM)
    q, k, v = (
        torch.einsum("oi,bni->bno", weight, x).add(bias).unflatten(2, (HEADS, DIM // HEADS))
        for x, weight, bias in zip((q, k, v), weights, biases, strict=True)
    )
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(DIM // HEADS)
    shares = scores.exp() / scores.exp().sum(3, keepdim=True)
    x = torch.einsum("bhqk,bkhd->bqhd", shares, v).flatten(2)
    return torch.einsum("oi,bni->bno", state[f"{prefix}.out_proj.weight"], x) + state[f"{prefix}.out_proj.bias"]


def _linear(state: dict[str, Tensor], prefix: str, x: Tensor) -> Tensor:
    return torch.einsum("oi,bni->bno", state[f"{prefix}.weight"], x) + state[f"{prefix}.bias"]


def _queries(state: dict[str, Tensor], outs: list[Tensor]) -> Tensor:
    sources, places = [], []
    for number, out in enumerate(outs):
        source = _conv(state, f"{_DECODER}input_proj.{number}", out).flatten(2).transpose(1, 2)
        sources.append(source + state[f"{_DECODER}level_embed.weight"][number])
        places.append(positions(*out.shape[2:]))
    x = state[f"{_DECODER}query_feat.weight"].repeat(len(outs[0]), 1, 1)
    own = state[f"{_DECODER}query_embed.weight"]
    for number in range(9):
        source, place = sources[number % 3], places[number % 3]
        prefix = f"{_DECODER}transformer_cross_attention_layers.{number}"
        attended = _attend(state, f"{prefix}.multihead_attn", x + own, source + place, source)
        x = _layer_norm(state, f"{prefix}.norm", x + attended, 2, 1e-5)
        prefix = f"{_DECODER}transformer_self_attention_layers.{number}"
        attended = _attend(state, f"{prefix}.self_attn", x + own, x + own, x)
        x = _layer_norm(state, f"{prefix}.norm", x + attended, 2, 1e-5)
        prefix = f"{_DECODER}transformer_ffn_layers.{number}"
        fed = _linear(state, f"{prefix}.linear2", _linear(state, f"{prefix}.linear1", x).relu())
        x = _layer_norm(state, f"{prefix}.norm", x + fed, 2, 1e-5)
    x = _layer_norm(state, f"{_DECODER}decoder_norm", x, 2, 1e-5)
    for number in range(3):
        x = _linear(state, f"{_DECODER}color_embed.layers.{number}", x)
        x = x.relu() if number < 2 else x
    return x
