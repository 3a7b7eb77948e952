"""The generator of the tutorial that Gray to Glory follows, a DynamicUnet of fastai 2.4."""

from colorize_core.models.fastai import RENAMED_PREFIXES
from colorize_core.published.conversion import model_shapes, take
from colorize_core.published.family import Conversion, Family, Tensors

_MODEL = "resnet_unet"
_GENERATOR = "net_G."
"""Prefix of the generator in the tutorial's `MainModel`, which also has a discriminator."""


def _generator(state: Tensors) -> Tensors:
    return {key.removeprefix(_GENERATOR): state[key] for key in state if key.startswith(_GENERATOR)} or state


def _recognize(state: Tensors) -> bool:
    """The DynamicUnets of DeOldify have spectral norm, which the tutorial's has not."""
    names = _generator(state).keys()
    return any(key.startswith("layers.0.0.") for key in names) and not any(key.endswith("_orig") for key in names)


def _published_name(name: str) -> str:
    """Return fastai's name of one of our tensors."""
    return next(theirs + name.removeprefix(ours) for theirs, ours in RENAMED_PREFIXES.items() if name.startswith(ours))


def _convert(state: Tensors, where: str) -> Conversion:
    shapes = model_shapes(_MODEL)
    kind = "fastai's DynamicUnet over ResNet-18"
    return Conversion(_MODEL, take(_generator(state), shapes, where, kind, published_name=_published_name))


FAMILY = Family(
    name="fastai generator of Gray to Glory's tutorial",
    source="Shariatnia 2020, https://github.com/moein-shariatnia/Deep-Learning",
    license="not stated for the weights; MIT for the code of the repository",
    data="COCO 2017; its photographs are under the terms of Flickr",
    files=(),
    recognize=_recognize,
    convert=_convert,
)
