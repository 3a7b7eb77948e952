"""The generators of DeOldify: artistic, stable, and video, which has the network of stable."""

from colorize_core.models.fastai import ENCODER_PREFIXES
from colorize_core.published.conversion import Shape, model_shapes, take
from colorize_core.published.family import IMAGENET_TERMS, Conversion, Family, PublishedFile, Tensors

_OURS = "generator."
_DEEP, _WIDE = "deoldify_artistic", "deoldify_stable"
_DEEP_LAYER = "layers.4.conv1.0.weight_orig"
_WIDE_LAYER = "layers.4.conv.0.weight_orig"
_WEIGHT_NORM = "generator.up.0.weight"

_PREFIXES = {
    **ENCODER_PREFIXES,
    **{f"layers.{number + 4}.shuf.conv.": f"blocks.{number}.up." for number in range(4)},
    **{f"layers.{number + 4}.bn.": f"blocks.{number}.norm." for number in range(4)},
    "layers.8.conv.": "up.",
    "layers.10.layers.": "cross.",
    "layers.11.0.": "to_rgb.",
}
"""Prefixes of DeOldify's names, and ours after `generator.`, without those of the decoder's 3x3 convolutions."""
_CONVOLUTIONS = {
    _DEEP: {
        "layers.5.conv2.3.": "blocks.1.convs.2.",
        **{f"layers.{n + 4}.conv{m + 1}.": f"blocks.{n}.convs.{m}." for n in range(4) for m in range(2)},
    },
    _WIDE: {
        "layers.5.conv.3.": "blocks.1.convs.1.",
        **{f"layers.{n + 4}.conv.": f"blocks.{n}.convs.0." for n in range(4)},
    },
}
"""Prefixes of those, by architecture. Self-attention is the fourth module of the convolution before it; ours follows
it."""


def _recognize(state: Tensors) -> bool:
    return "layers.8.conv.0.weight_g" in state and (_DEEP_LAYER in state or _WIDE_LAYER in state)


def _convert(state: Tensors, where: str) -> Conversion:
    name = _DEEP if _DEEP_LAYER in state else _WIDE
    prefixes = {ours: theirs for theirs, ours in {**_PREFIXES, **_CONVOLUTIONS[name]}.items()}

    def published_name(key: str) -> str:
        inner = key.removeprefix(_OURS)
        return next(theirs + inner.removeprefix(ours) for ours, theirs in prefixes.items() if inner.startswith(ours))

    shapes = model_shapes(name)
    tensors = take(
        state,
        shapes,
        where,
        f"{name!r}",
        published_name=published_name,
        spectral=_spectral(shapes),
        weight_norm={_WEIGHT_NORM},
    )
    return Conversion(name, tensors)


def _spectral(shapes: dict[str, Shape]) -> set[str]:
    """Return our names of the weights under spectral norm: convolutions after the encoder but for the last shuffle."""
    decoder = (name for name, shape in shapes.items() if len(shape) > 2 and not name.startswith(f"{_OURS}body."))
    return {*decoder} - {_WEIGHT_NORM}


def _file(variant: str, sha256: str, size: int, model: str) -> PublishedFile:
    name = f"Colorize{variant.title()}_gen.pth, under Pretrained Weights in the project's README"
    return PublishedFile(variant, name, sha256, size, model)


FAMILY = Family(
    name="DeOldify",
    source="Antic 2018-2024, https://github.com/jantic/DeOldify",
    license="MIT (stated in the repository for code and weights)",
    data=IMAGENET_TERMS,
    files=(
        _file("artistic", "3f750246fa220529323b85a8905f9b49c0e5d427099185334d048fb5b5e22477", 255_144_681, _DEEP),
        _file("stable", "ca9cd7f43fb8b222c9a70f7b292e305a000694b0ff9d2ae4a6747b1a2e1ee5af", 874_066_230, _WIDE),
        _file("video", "e3d98bb6a222354c79f95485c2f078a89dc724e9183662506d9e0f5aafac83ad", 874_066_230, _WIDE),
    ),
    recognize=_recognize,
    convert=_convert,
    allowed_types=(slice,),
)
