"""Perceptual loss: the distance between two colorings in the features of VGG-16 (Johnson et al. 2016)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorize_core.color.lab import lab_to_rgb
from colorize_core.errors import UserError
from colorize_core.models.backbone import download_state_dict, read_state_dict
from colorize_core.normalization import AB_SCALE, L_CENTER

_STAGES = (4, 9, 16, 23)  # torchvision's layers after relu1_2, relu2_2, relu3_3, relu4_3
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which VGG-16 was trained on


class VGGDistance(nn.Module):
    """Mean over four stages (relu1_2, relu2_2, relu3_3, relu4_3) of the mean absolute difference of features.

    The stages are those of Johnson et al.; the absolute difference and equal weights are DeOldify's and fastai's
    habit of keeping L1 throughout.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, weights: str | None = None) -> None:
        """Load VGG-16.

        Args:
            weights: path or URI of torchvision's vgg16 state dict; None downloads it.

        Raises:
            UserError: the weights cannot be had or are not VGG-16's; random ones are never used.
        """
        super().__init__()
        from torchvision.models import VGG16_Weights, vgg16  # here, as it takes two seconds

        if weights is None:
            hint = "loss.perceptual needs them: give loss.vgg_weights=PATH to the state dict"
            state = download_state_dict(VGG16_Weights.IMAGENET1K_V1, hint)
        else:
            state = read_state_dict(weights)
        features = vgg16(weights=None).features[: _STAGES[-1]]
        own = {key: f"features.{key}" for key in features.state_dict()}
        for key, value in features.state_dict().items():
            if own[key] not in state or state[own[key]].shape != value.shape:
                raise UserError(f"{weights}: not a VGG-16 state dict of torchvision ({own[key]} does not fit)")
        features.load_state_dict({key: state[name] for key, name in own.items()})
        starts = (0, *_STAGES[:-1])
        self.stages = nn.ModuleList(features[start:stop] for start, stop in zip(starts, _STAGES, strict=True))
        self.requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION).view(1, 3, 1, 1), persistent=False)

    def forward(self, L: Tensor, predicted: Tensor, truth: Tensor) -> Tensor:
        """Distance between the photographs that two chromas make of one lightness.

        Args:
            L: (B, 1, H, W) on the network's scale.
            predicted: (B, 2, H, W) on the network's scale; gradients flow through it.
            truth: the same shape.

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
        rgb = lab_to_rgb(torch.cat(((L + 1) * L_CENTER, ab * AB_SCALE), dim=1))
        return (rgb - self.mean) / self.deviation
