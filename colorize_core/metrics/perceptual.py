"""LPIPS, through the lpips package."""

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Literal

import torch
from torch import Tensor, nn

from colorize_core.errors import UserError
from colorize_core.models.backbone import download_state_dict, read_state_dict


class LPIPS(nn.Module):
    """Learned perceptual similarity (Zhang et al. 2018), version 0.1, through the lpips package.

    The package brings the linear heads; the backbone comes from torchvision, or from a state dict that the user
    names. Without either this raises: a random backbone would give plausible numbers that mean nothing.
    """

    def __init__(self, backbone: Literal["vgg", "alex"] = "vgg", weights: str | None = None) -> None:
        """Load the network.

        Args:
            backbone: "vgg" (VGG-16, as Gray to Glory) or "alex" (AlexNet, the usual one in papers).
            weights: path or URI of torchvision's vgg16 or alexnet state dict; None downloads them.

        Raises:
            UserError: the weights cannot be had or do not fit.
        """
        super().__init__()
        import lpips
        from torchvision.models import AlexNet_Weights, VGG16_Weights

        if weights is None:
            enum = {"vgg": VGG16_Weights.IMAGENET1K_V1, "alex": AlexNet_Weights.IMAGENET1K_V1}[backbone]
            state = download_state_dict(enum, "LPIPS needs them: give lpips.weights=PATH to the state dict")
        else:
            state = read_state_dict(weights)
        with redirect_stdout(io.StringIO()):  # the package prints its set-up
            self.net = lpips.LPIPS(net=backbone, version="0.1", pnet_rand=True, verbose=False).eval()
        _load_backbone(self.net.net, state, f"LPIPS {backbone} weights {weights or 'of torchvision'}")
        self.requires_grad_(False)

    def forward(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 sRGB twice, to (B,) float64; the network sees RGB in [-1, 1], no resize."""
        return self.distance(self.features(predicted), self.features(truth))

    @torch.inference_mode()
    def features(self, rgb: Tensor, *, unit_range: bool = False) -> list[Tensor]:
        """Activations of five layers, of length 1 at every pixel: those of one truth serve many predictions.

        Args:
            rgb: (B, 3, H, W) uint8 sRGB.
            unit_range: show the network RGB in [0, 1], which it does not expect: a common mistake that flatters.
        """
        from lpips import normalize_tensor

        scaled = rgb.float() / 255 if unit_range else rgb.float() / 127.5 - 1
        return [normalize_tensor(layer) for layer in self.net.net(self.net.scaling_layer(scaled))]

    @torch.inference_mode()
    def distance(self, one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
        """LPIPS, (B,) float64, of two pictures' `features`: squared differences weighted by channel, mean by layer."""
        layers = zip(self.net.lins, one, other, strict=True)
        means = [weigh((x - y).square()).mean(dim=(1, 2, 3)) for weigh, x, y in layers]
        return torch.stack(means).sum(dim=0).double()


def _load_backbone(network: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Fill lpips' slices, which keep torchvision's layer numbers, from a torchvision `features` state dict."""
    own = network.state_dict()
    source = {key: f"features.{key.split('.', 1)[1]}" for key in own}
    missing = [name for key, name in source.items() if name not in state or state[name].shape != own[key].shape]
    if missing:
        raise UserError(f"{what}: not the expected backbone ({missing[0]} is missing or has another shape)")
    network.load_state_dict({key: state[name] for key, name in source.items()})
