"""The network of Zhang et al. 2017 in its authors' PyTorch port, and as their PyTorch code trains it."""

from colorize_core.published.conversion import model_shapes, take
from colorize_core.published.family import IMAGENET_TERMS, Conversion, Family, PublishedFile, Tensors

_MODEL = "siggraph17"
_CAFFE_MASK = {"centered_mask": False}


def _recognize(state: Tensors) -> bool:
    return {"model1.0.weight", "model10up.0.weight"} <= state.keys()


def _convert(state: Tensors, where: str) -> Conversion:
    """The tensors do not show the convention of the mask: without an option, it is that of the Caffe model."""
    return Conversion(_MODEL, take(state, model_shapes(_MODEL), where, f"{_MODEL!r}"), _CAFFE_MASK)


FAMILY = Family(
    name="siggraph17",
    source="Zhang et al. 2017, https://github.com/richzhang/colorization",
    license="BSD-2-Clause (of the repository)",
    data=IMAGENET_TERMS,
    files=(
        PublishedFile(
            variant="converted Caffe model",
            name="colorizers.s3.us-east-2.amazonaws.com/siggraph17-df00044c.pth",
            sha256="df00044c0a4d7c3edcecf6f75437ce346a66e7a42612d9b968e1a7e17dbc6f66",
            size=None,
            model=_MODEL,
            options=_CAFFE_MASK,
        ),
    ),
    recognize=_recognize,
    convert=_convert,
)
