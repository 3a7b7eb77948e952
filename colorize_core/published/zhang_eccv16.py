"""The network of Zhang et al. 2016 in its authors' PyTorch port."""

import torch

from colorize_core.published.conversion import model_shapes, take
from colorize_core.published.family import IMAGENET_TERMS, Conversion, Family, PublishedFile, Tensors

_MODEL = "zhang_eccv16"
_COUNTER = "num_batches_tracked"


def _recognize(state: Tensors) -> bool:
    """The same authors' later network, siggraph17, has another decoder, which begins with model10up."""
    return "model1.0.weight" in state and not any(key.startswith("model10up.") for key in state)


def _convert(state: Tensors, where: str) -> Conversion:
    shapes = model_shapes(_MODEL)
    # Weights saved before torch 0.4.1 lack BatchNorm's counters, which are not used here.
    counters = {key: torch.tensor(0) for key in shapes if key.endswith(_COUNTER)}
    # The published PyTorch code decodes with temperature 1; 0.38 is the temperature of the paper.
    return Conversion(_MODEL, take({**counters, **state}, shapes, where, f"{_MODEL!r}"), {"temperature": 1.0})


FAMILY = Family(
    name="eccv16 of Zhang et al.",
    source="Zhang et al. 2016, https://github.com/richzhang/colorization",
    license="BSD-2-Clause (of the repository)",
    data=IMAGENET_TERMS,
    files=(
        PublishedFile(
            variant="release v2",
            name="colorizers.s3.us-east-2.amazonaws.com/colorization_release_v2-9b330a0b.pth",
            sha256="9b330a0bae53f4ded77b1e23defbf78beaa09c10ebc4c4999e8e4f4a160b93f9",
            size=128_976_165,
            model=_MODEL,
        ),
    ),
    recognize=_recognize,
    convert=_convert,
)
