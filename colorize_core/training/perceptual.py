"""Perceptual loss: distance between two colorizations in the features of VGG-16 (Johnson et al. 2016)."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorize_core.color.lab import denormalize_ab, denormalize_L, lab_to_rgb
from colorize_core.encoders.state_dicts import download_state_dict, is_cached, read_state_dict, read_tensor_shapes
from colorize_core.errors import UserError

_STAGES = (4, 9, 16, 23)  # torchvision's layers after relu1_2, relu2_2, relu3_3, relu4_3
_MEAN, _DEVIATION = (
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
)  # of ImageNet, on which VGG-16 was trained

_HINT = "loss.perceptual needs them: give loss.vgg_weights=PATH to the state dict"


class VGGDistance(nn.Module):
    """Mean over four stages (relu1_2, relu2_2, relu3_3, relu4_3) of the mean absolute difference of features.

    The stages are those of Johnson et al. (2016). The absolute difference and equal weights follow DeOldify and fastai,
    which use L1 for every term.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, weights: str | None = None) -> None:
        """Load VGG-16.

        Args:
            weights: path or URI of torchvision's vgg16 state dict; None downloads it.

        Raises:
            UserError: the weights cannot be loaded or are not of VGG-16; random weights are never used.
        """
        super().__init__()
        from torchvision.models import VGG16_Weights, vgg16  # imported here because it takes two seconds

        published = VGG16_Weights.IMAGENET1K_V1
        state = read_state_dict(weights) if weights else download_state_dict(published, _HINT)
        features = vgg16(weights=None).features[: _STAGES[-1]]
        _require_vgg16(features, {key: value.shape for key, value in state.items()}, weights)
        features.load_state_dict({key: state[f"features.{key}"] for key in features.state_dict()})
        starts = (0, *_STAGES[:-1])
        self.stages = nn.ModuleList(features[start:stop] for start, stop in zip(starts, _STAGES, strict=True))
        self.requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION).view(1, 3, 1, 1), persistent=False)

    def forward(self, L: Tensor, predicted: Tensor, truth: Tensor) -> Tensor:
        """Compute the distance between two colorizations of the same lightness.

        Args:
            L: (B, 1, H, W) on the network's scale.
            predicted: (B, 2, H, W) on the network's scale; gradients flow through it.
            truth: (B, 2, H, W) on the network's scale.

        Returns:
            Scalar.
        """
        x, y = self._image(L, predicted), self._image(L, truth)
        total = predicted.new_zeros(())
        for stage in self.stages:
            x = stage(x)
            with torch.no_grad():
                y = stage(y)
            total = total + F.l1_loss(x, y)
        return total / len(self.stages)

    def _image(self, L: Tensor, ab: Tensor) -> Tensor:
        rgb = lab_to_rgb(torch.cat((denormalize_L(L), denormalize_ab(ab)), dim=1))
        return (rgb - self.mean) / self.deviation


def check_vgg_weights(weights: str | None) -> None:
    """Check the weights of VGG-16 without loading them; arguments and errors as of `VGGDistance`."""
    from torchvision.models import VGG16_Weights, vgg16

    if weights is None:
        if not is_cached(VGG16_Weights.IMAGENET1K_V1.url):
            download_state_dict(VGG16_Weights.IMAGENET1K_V1, _HINT)
    elif shapes := read_tensor_shapes(weights):
        with torch.device("meta"):
            _require_vgg16(vgg16(weights=None).features[: _STAGES[-1]], shapes, weights)


def _require_vgg16(features: nn.Module, shapes: Mapping[str, torch.Size], where: str | None) -> None:
    for key, value in features.state_dict().items():
        if shapes.get(f"features.{key}") != value.shape:
            raise UserError(f"{where}: not a VGG-16 state dict of torchvision (features.{key} does not fit)")
