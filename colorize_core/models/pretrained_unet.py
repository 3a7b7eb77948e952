"""U-Net on an encoder pretrained on ImageNet, the network of the starter weights; designed in this project."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from colorize_core.color.bins import BINS, TEMPERATURE, bin_centers
from colorize_core.color.lab import normalize_ab
from colorize_core.encoders.pyramid import EncoderName, build_encoder
from colorize_core.models.base import ColorModel
from colorize_core.models.lite import chroma_head, conv_norm_relu


class PretrainedUnet(ColorModel):
    """Decoder of a few convolutions over the features of a pretrained encoder.

    What an object is decides its color, and a few thousand photographs do not teach that: ImageNet's do. Color varies
    slowly, so ab is predicted at a quarter of the side and upsampled bilinearly. A vector of the whole image, from
    which ImageNet's classes are told, is added at the coarsest level. The decoder ends in ab, or in a distribution over
    313 color bins (Zhang et al. 2016), of which the annealed mean is the color.
    """

    centers: Tensor
    """With bins: (2, 313, 1, 1) their colors, on the network's scale."""

    def __init__(
        self,
        encoder: EncoderName = "efficientnet_lite2",
        widths: Annotated[Sequence[PositiveInt], Field(min_length=3, max_length=3)] = (256, 160, 64),
        bins: bool = False,
        temperature: PositiveFloat = TEMPERATURE,
        trainable_stages: Annotated[int, Field(ge=0, le=4)] = 0,
        backbone_weights: str | None = None,
    ) -> None:
        """Build the network.

        Args:
            encoder: name of the encoder.
            widths: channels of the decoder at 1/16, 1/8 and 1/4 of the side.
            bins: predict a distribution over color bins instead of ab; train it with the loss `cross_entropy`.
            temperature: with bins, that of the annealed mean: 1 gives the mean of the distribution, values near 0 its
                mode.
            trainable_stages: number of the encoder's last stages that are trained, of four (strides 4, 8, 16, 32); the
                weights and statistics of the others stay as they are.
            backbone_weights: initial weights of the encoder; see `build_encoder`.
        """
        super().__init__()
        self.backbone = encoder
        self.encoder = build_encoder(encoder, backbone_weights)
        stages = self.encoder.stages()
        self._frozen = [module for stage in stages[: len(stages) - trainable_stages] for module in stage]
        for module in self._frozen:
            module.requires_grad_(False)
        channels = self.encoder.channels
        self.scene = nn.Linear(self.encoder.scene_channels, widths[0])
        self.bottom = nn.Conv2d(channels[-1], widths[0], 1, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        inputs = (widths[0], *widths)
        self.decoder = nn.ModuleList(
            Up(below, skip, outputs) for (below, outputs), skip in zip(pairwise(inputs), channels[-2::-1], strict=True)
        )
        self.has_bins = bins
        self.temperature = temperature if bins else None
        if bins:
            self.to_logits = nn.Conv2d(widths[-1], BINS, 1)
            centers = normalize_ab(bin_centers()).T[:, :, None, None]
            self.register_buffer("centers", centers, persistent=False)
        else:
            self.to_ab = chroma_head(widths[-1])

    def train(self, mode: bool = True) -> "PretrainedUnet":
        """Set the mode of the trained modules; the frozen ones stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def outputs(self, L: Tensor) -> dict[str, Tensor]:
        """Map L (B, 1, H, W) in [-1, 1] to ab (B, 2, H, W) and, with bins, their logits (B, 313, H/4, W/4)."""
        features, scene = self.encoder(L)
        x = F.relu(self.norm(self.bottom(features[-1])) + self.scene(scene)[:, :, None, None], inplace=True)
        for up, skip in zip(self.decoder, features[-2::-1], strict=True):
            x = up(x, skip)
        outputs = {}
        if self.has_bins:
            outputs["logits"] = self.to_logits(x)
            assert self.temperature is not None
            ab = F.conv2d(F.softmax(outputs["logits"] / self.temperature, dim=1), self.centers)
        else:
            ab = self.to_ab(x)
        return {"ab": F.interpolate(ab, scale_factor=4, mode="bilinear"), **outputs}

    def forward(self, L: Tensor) -> Tensor:
        """Map L (B, 1, H, W) in [-1, 1] to ab (B, 2, H, W), unbounded or, with bins, within them.

        H and W are multiples of 32.
        """
        return self.outputs(L)["ab"]


class Up(nn.Module):
    """Doubles the side: bilinear upsampling, the encoder's features beside it, two 3x3 convolutions."""

    def __init__(self, below: int, skip: int, outputs: int) -> None:
        """Build for `below` channels from the level below and `skip` channels from the encoder."""
        super().__init__()
        self.convs = nn.Sequential(conv_norm_relu(below + skip, outputs), conv_norm_relu(outputs, outputs))

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        """Map below (B, below, H, W) and skip (B, skip, 2H, 2W) to (B, outputs, 2H, 2W)."""
        enlarged = F.interpolate(below, scale_factor=2, mode="bilinear")
        result: Tensor = self.convs(torch.cat((enlarged, skip), dim=1))
        return result
