"""Conversion of published state dicts: strict comparison by their own names, renaming, removal of weight norms."""

import math
from collections.abc import Callable, Collection, Mapping

from torch import Tensor

from colorize_core.encoders.state_dicts import require_shapes
from colorize_core.models import check_model
from colorize_core.published.family import Tensors

Shape = tuple[int, ...]


def model_shapes(name: str, **options: object) -> dict[str, Shape]:
    """Return the shapes in the state dict of a model by name, without building it; arguments as of `build_model`."""
    return {key: tuple(value.shape) for key, value in check_model(name, **options).state_dict().items()}


def take(
    state: Tensors,
    shapes: Mapping[str, Shape],
    where: str,
    kind: str,
    *,
    published_name: Callable[[str], str] = str,
    spectral: Collection[str] = (),
    weight_norm: Collection[str] = (),
    unused: Mapping[str, Shape] | None = None,
) -> dict[str, Tensor]:
    """Take the tensors of a model from a published state dict.

    Args:
        state: the published state dict.
        shapes: shapes of the model's tensors by our names.
        where: location of the file, for the message.
        kind: name of the published network, for the message.
        published_name: function from our name of a tensor to the published one.
        spectral: our names of the weights that were published under spectral norm (`fold_spectral_norm`).
        weight_norm: our names of the weights that were published under weight norm (`fold_weight_norm`).
        unused: shapes of published tensors that the model has no use for, by their names.

    Returns:
        Tensors by our names.

    Raises:
        UserError: tensors are missing, unknown or of another shape; the message names the first five as published.
    """
    expected = dict(unused or {})
    for name, shape in shapes.items():
        published = published_name(name)
        if name in spectral:
            expected |= spectral_norm_shapes(published, shape)
        elif name in weight_norm:
            expected |= weight_norm_shapes(published, shape)
        else:
            expected[published] = shape
    require_shapes(state, expected, where, kind)

    def folded(name: str) -> Tensor:
        published = published_name(name)
        if name in spectral:
            return fold_spectral_norm(state, published)
        return fold_weight_norm(state, published) if name in weight_norm else state[published]

    return {name: folded(name) for name in shapes}


def spectral_norm_shapes(name: str, shape: Shape) -> dict[str, Shape]:
    """Return names and shapes of the three tensors that `torch.nn.utils.spectral_norm` stores for a weight."""
    return {f"{name}_orig": shape, f"{name}_u": shape[:1], f"{name}_v": (math.prod(shape[1:]),)}


def fold_spectral_norm(state: Tensors, name: str) -> Tensor:
    """Return the weight that a layer under `torch.nn.utils.spectral_norm` uses in evaluation.

    It is the stored weight W divided by u W v, with W as a matrix (outputs, rest) and the stored vectors u and v, which
    estimate its largest singular value (Miyato et al. 2018). The division is done in float64.
    """
    weight, u, v = (state[f"{name}_{part}"].double() for part in ("orig", "u", "v"))
    return (weight / (u @ weight.flatten(1) @ v)).to(state[f"{name}_orig"].dtype)


def weight_norm_shapes(name: str, shape: Shape) -> dict[str, Shape]:
    """Return names and shapes of the two tensors that `torch.nn.utils.weight_norm` stores for a weight."""
    return {f"{name}_g": (shape[0], *(1 for _ in shape[1:])), f"{name}_v": shape}


def fold_weight_norm(state: Tensors, name: str) -> Tensor:
    """Return the weight that a layer under `torch.nn.utils.weight_norm` uses.

    Each row of the stored direction v, the weights of one output, is scaled to the length g (Salimans and Kingma 2016).
    """
    gain, direction = (state[f"{name}_{part}"].double() for part in ("g", "v"))
    lengths = direction.flatten(1).norm(dim=1).view_as(gain)
    return (gain / lengths * direction).to(state[f"{name}_v"].dtype)
