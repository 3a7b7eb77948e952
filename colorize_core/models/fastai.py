"""Conversion of weights from fastai checkpoints."""

from collections.abc import Mapping

from torch import Tensor

from colorize_core.errors import UserError

ENCODER_PREFIXES = {
    "layers.0.0.": "body.conv1.",
    "layers.0.1.": "body.bn1.",
    **{f"layers.0.{number + 3}.": f"body.layer{number}." for number in (1, 2, 3, 4)},
    "layers.1.": "norm.",
    "layers.3.": "middle.",
}
"""Prefixes of weight names in a DynamicUnet of any version of fastai, and those in our networks, up to the decoder."""
RENAMED_PREFIXES = {
    **ENCODER_PREFIXES,
    **{f"layers.{number + 3}.shuf.0.0.": f"block{number}.up.0." for number in (1, 2, 3, 4)},
    **{f"layers.{number + 3}.bn.": f"block{number}.norm." for number in (1, 2, 3, 4)},
    **{f"layers.{number + 3}.conv": f"block{number}.conv" for number in (1, 2, 3, 4)},
    "layers.8.0.0.": "up.0.",
    "layers.11.convpath.0.": "cross.conv1.",
    "layers.11.convpath.1.0.": "cross.conv2.",
    "layers.12.0.": "to_ab.",
}
"""Prefixes of weight names in fastai, and those in `resnet_unet`."""
_GENERATOR = "net_G."


def generator_from_fastai(state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Rename the weights of Gray to Glory's generator to the names in `resnet_unet`.

    Args:
        state: state dict of fastai 2.4's `DynamicUnet(create_body(resnet18, n_in=1, cut=-2), 2, (256, 256))`, alone or
            as the `net_G` of the tutorial's `MainModel`, whose discriminator is ignored.
        where: location of the state, for the message.

    Returns:
        The same tensors; `encoders.state_dicts.load_strictly` checks that they are complete and match.

    Raises:
        UserError: a name that this network does not have in fastai.
    """
    generator = {key.removeprefix(_GENERATOR): state[key] for key in state if key.startswith(_GENERATOR)} or state
    return {_renamed(key, where): value for key, value in generator.items()}


def _renamed(key: str, where: str) -> str:
    for theirs, ours in RENAMED_PREFIXES.items():
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs)
    raise UserError(f"{where}: not fastai's DynamicUnet over ResNet-18 (it has a {key})")
