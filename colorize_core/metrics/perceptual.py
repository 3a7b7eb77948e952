"""Learned perceptual similarity, through the lpips package."""

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from colorize_core.encoders.state_dicts import download_state_dict, is_cached, read_state_dict, read_tensor_shapes
from colorize_core.errors import UserError

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

Backbone = Literal["vgg", "alex"]
_HINT = "LPIPS needs them: set lpips.weights to a local copy"
_FIRST_WEIGHTS = "features.0.weight"
_FIRST_SHAPES = {"vgg": (64, 3, 3, 3), "alex": (64, 3, 11, 11)}


class LPIPS(nn.Module):
    """Learned perceptual similarity (Zhang et al. 2018), version 0.1, through the lpips package.

    The package contains the linear heads; the backbone is that of torchvision, or a state dict that the user gives.
    Random weights are never used: they would give plausible but meaningless numbers.
    """

    def __init__(self, backbone: Backbone = "vgg", weights: str | None = None) -> None:
        """Load the network.

        Args:
            backbone: "vgg" (VGG-16, as in Gray to Glory) or "alex" (AlexNet, as in most papers).
            weights: path or URI of torchvision's vgg16 or alexnet state dict; None downloads them.

        Raises:
            UserError: the weights cannot be loaded or do not fit.
        """
        super().__init__()
        import lpips

        state = download_state_dict(_published(backbone), _HINT) if weights is None else read_state_dict(weights)
        with redirect_stdout(io.StringIO()):  # the package prints its configuration
            self.net = lpips.LPIPS(net=backbone, version="0.1", pnet_rand=True, verbose=False).eval()
        _load_backbone(self.net.net, state, f"LPIPS {backbone} weights {weights or 'of torchvision'}")
        self.requires_grad_(False)

    def forward(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Compute LPIPS, (B,) float64, of two (B, 3, H, W) uint8 sRGB images, as RGB in [-1, 1] without a resize."""
        return self.distance(self.features(predicted), self.features(truth))

    @torch.inference_mode()
    def features(self, rgb: Tensor, *, unit_range: bool = False) -> list[Tensor]:
        """Compute the activations of five layers, normalized over the channels; those of a photograph can be reused.

        Args:
            rgb: (B, 3, H, W) uint8 sRGB.
            unit_range: pass RGB in [0, 1], which the network does not expect: a common mistake that lowers LPIPS.
        """
        from lpips import normalize_tensor

        scaled = rgb.float() / 255 if unit_range else rgb.float() / 127.5 - 1
        return [normalize_tensor(layer) for layer in self.net.net(self.net.scaling_layer(scaled))]

    @torch.inference_mode()
    def distance(self, one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
        """Compute LPIPS, (B,) float64, from `features`: squared differences, weighted by channel, averaged by layer."""
        layers = zip(self.net.lins, one, other, strict=True)
        means = [weigh((x - y).square()).mean(dim=(1, 2, 3)) for weigh, x, y in layers]
        return torch.stack(means).sum(dim=0).double()


def check_lpips_weights(backbone: Backbone, weights: str | None) -> None:
    """Check the weights of `LPIPS`, and download them if necessary, without loading the network.

    Arguments and errors are those of `LPIPS`; of given weights only the first layer is compared.
    """
    if weights is None:
        if not is_cached(_published(backbone).url):
            download_state_dict(_published(backbone), _HINT)
    elif (shapes := read_tensor_shapes(weights)) and shapes.get(_FIRST_WEIGHTS) != _FIRST_SHAPES[backbone]:
        raise UserError(f"{weights}: not the weights of the LPIPS backbone {backbone} ({_FIRST_WEIGHTS} does not fit)")


def _published(backbone: Backbone) -> "WeightsEnum":
    from torchvision.models import AlexNet_Weights, VGG16_Weights

    return {"vgg": VGG16_Weights.IMAGENET1K_V1, "alex": AlexNet_Weights.IMAGENET1K_V1}[backbone]


def _load_backbone(network: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Load a torchvision state dict into the slices of lpips, which keep the layer numbers of `features`."""
    own = network.state_dict()
    source = {key: f"features.{key.split('.', 1)[1]}" for key in own}
    missing = [name for key, name in source.items() if name not in state or state[name].shape != own[key].shape]
    if missing:
        raise UserError(f"{what}: not the expected backbone ({missing[0]} is missing or has another shape)")
    network.load_state_dict({key: state[name] for key, name in source.items()})
