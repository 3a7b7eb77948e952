"""ConvNeXt (Liu et al. 2022, "A ConvNet for the 2020s") as an encoder: features at strides 4, 8, 16 and 32."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorize_core.encoders.pyramid import read_encoder_weights
from colorize_core.encoders.state_dicts import require_shapes

_EPSILON = 1e-6
_INITIAL_SCALE = 1e-6  # of the residual branches (Touvron et al. 2021, LayerScale)
_DEVIATION = 0.02
_META_NAMES = (
    ("downsample.", "downsample_layers."),
    (".depthwise.", ".dwconv."),
    (".expand.", ".pwconv1."),
    (".contract.", ".pwconv2."),
    (".scale", ".gamma"),
)
_TORCHVISION_NAMES = (
    (".depthwise.", ".block.0."),
    (".norm.", ".block.2."),
    (".expand.", ".block.3."),
    (".contract.", ".block.5."),
    (".scale", ".layer_scale"),
)
_OF_CLASSIFIER = ("norm.", "head.", "classifier.")


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        """Build for `channels`."""
        super().__init__(channels, eps=_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """Depthwise 7x7 convolution, LayerNorm, and two linear layers over the channels; added to the input, scaled."""

    def __init__(self, channels: int) -> None:
        """Build for `channels` input and output channels."""
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=_EPSILON)
        self.expand = nn.Linear(channels, 4 * channels)
        self.contract = nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), _INITIAL_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.contract(F.gelu(self.expand(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """Four stages of blocks; the outputs of the stages, each under a norm of its own, are the features.

    The norm is not part of the way to the next stage. The published network also has a norm of the mean of the last
    stage, for a classifier; nothing depends on it here, so that it is left out.
    """

    def __init__(self, widths: Sequence[int], depths: Sequence[int]) -> None:
        """Build with `widths` channels and `depths` blocks in the stages, and initialize as published."""
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, widths[0], 4, stride=4), ChannelNorm(widths[0]))
        steps = (
            nn.Sequential(ChannelNorm(above), nn.Conv2d(above, below, 2, stride=2)) for above, below in pairwise(widths)
        )
        self.downsample = nn.ModuleList([stem, *steps])
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(depth))) for width, depth in zip(widths, depths, strict=True)
        )
        self.norms = nn.ModuleList(ChannelNorm(width) for width in widths)
        self.apply(_init)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W), normalized as ImageNet, to features at strides 4, 8, 16 and 32."""
        features, x = [], rgb
        for downsample, stage, norm in zip(self.downsample, self.stages, self.norms, strict=True):
            x = stage(downsample(x))
            features.append(norm(x))
        return features

    def load(self, source: str, name: str) -> None:
        """Load published ImageNet weights, strictly, but for the classifier and its norm.

        Args:
            source: path or s3:// URI of a state dict of Meta's repository (facebookresearch/ConvNeXt, such as
                convnext_tiny_22k_224.pth, from which DDColor was trained) or of torchvision's; "imagenet" for
                torchvision's, from its cache or its download.
            name: torchvision's name of the network.

        Raises:
            UserError: the weights cannot be downloaded or read, or are not of this network.
        """
        state = read_encoder_weights(name, source)
        published_name = _torchvision_name if any(key.startswith("features.") for key in state) else meta_name
        own = {key: value for key, value in self.state_dict().items() if not key.startswith("norms.")}
        found = {key: value for key, value in state.items() if not key.startswith(_OF_CLASSIFIER)}
        expected = {
            published_name(key): (*value.shape, 1, 1) if published_name(key).endswith("layer_scale") else value.shape
            for key, value in own.items()
        }
        require_shapes(found, expected, source, name)
        if not any(value.is_meta for value in own.values()):
            for key, value in own.items():
                value.copy_(found[published_name(key)].reshape(value.shape))


def meta_name(name: str) -> str:
    """Return the name in Meta's repository of one of the tensors of `ConvNeXt`."""
    for ours, theirs in _META_NAMES:
        name = name.replace(ours, theirs)
    return name


def _torchvision_name(name: str) -> str:
    """Return torchvision's name of one of the tensors of `ConvNeXt`."""
    part, number, rest = name.split(".", 2)
    for ours, theirs in _TORCHVISION_NAMES:
        rest = rest.replace(ours, theirs)
    return f"features.{2 * int(number) + (part == 'stages')}.{rest}"


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=_DEVIATION)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
