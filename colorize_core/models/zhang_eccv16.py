"""Colorful Image Colorization (Zhang et al. 2016): a distribution over 313 color bins at 1/4 of the side."""

import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor, nn

from colorize_core.color.bins import BINS, TEMPERATURE, bin_centers
from colorize_core.color.lab import normalize_ab
from colorize_core.encoders.state_dicts import load_strictly, read_state_dict
from colorize_core.models.base import ColorModel


def conv_block(inputs: int, outputs: int, count: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Build `count` 3x3 convolutions with ReLU, the last with `stride`, then BatchNorm."""
    block = nn.Sequential()
    for number in range(1, count + 1):
        block.append(
            nn.Conv2d(
                inputs if number == 1 else outputs,
                outputs,
                3,
                stride=stride if number == count else 1,
                padding=dilation,
                dilation=dilation,
            )
        )
        block.append(nn.ReLU(inplace=True))
    return block.append(nn.BatchNorm2d(outputs))


def init_he(module: nn.Module) -> None:
    """Initialize as He et al. 2015: with torch's default, the logits after 23 layers hardly depend on the image."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight)
        assert module.bias is not None
        nn.init.zeros_(module.bias)


class ZhangECCV16(ColorModel):
    """Eight blocks of convolutions, the inner ones at 1/8 of the side, the fifth and sixth dilated; no skips.

    Layers and names are those of the published PyTorch weights (richzhang/colorization, colorizers/eccv16.py), whose
    input is (L - 50) / 100. The last layer maps probabilities of the 313 bins to ab; its weights, the bin centers, are
    not trained. The paper decodes by the annealed mean at `temperature` 0.38, the published port by the plain mean,
    temperature 1, which is less saturated.
    """

    has_bins = True

    def __init__(self, temperature: PositiveFloat = TEMPERATURE, weights: str | None = None) -> None:
        """Build the network.

        Args:
            temperature: temperature of the annealed mean; 1 gives the mean of the distribution, values near 0 its mode.
            weights: path or s3:// URI of the published state dict, or None for random weights.

        Raises:
            UserError: the weights cannot be read, or are not of this network.
        """
        super().__init__()
        self.temperature = temperature
        self.model1 = conv_block(1, 64, 2, stride=2)
        self.model2 = conv_block(64, 128, 2, stride=2)
        self.model3 = conv_block(128, 256, 3, stride=2)
        self.model4 = conv_block(256, 512, 3)
        self.model5 = conv_block(512, 512, 3, dilation=2)
        self.model6 = conv_block(512, 512, 3, dilation=2)
        self.model7 = conv_block(512, 512, 3)
        self.model8 = nn.Sequential(
            nn.ConvTranspose2d(512, 256, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, BINS, 1),
        )
        self.apply(init_he)
        self.model_out = nn.Conv2d(BINS, 2, 1, bias=False).requires_grad_(False)
        self.model_out.weight.copy_(normalize_ab(bin_centers()).T[:, :, None, None])
        if weights is not None:
            self._load(read_state_dict(weights), weights)

    def _load(self, state: dict[str, Tensor], where: str) -> None:
        # Weights saved before torch 0.4.1 lack BatchNorm's counters, which are not used here.
        counters = {key: value for key, value in self.state_dict().items() if key.endswith("num_batches_tracked")}
        load_strictly(self, {**counters, **state}, where, "'zhang_eccv16'")

    def outputs(self, L: Tensor) -> dict[str, Tensor]:
        """Map L (B, 1, H, W) in [-1, 1] to ab (B, 2, H, W) and the logits of its bins (B, 313, H/4, W/4)."""
        x = L / 2
        for block in (self.model1, self.model2, self.model3, self.model4, self.model5, self.model6, self.model7):
            x = block(x)
        logits = self.model8(x)
        ab = self.model_out(F.softmax(logits / self.temperature, dim=1))
        return {"ab": F.interpolate(ab, scale_factor=4, mode="bilinear"), "logits": logits}

    def forward(self, L: Tensor) -> Tensor:
        """Map L (B, 1, H, W) in [-1, 1] to ab (B, 2, H, W) within the bins; H and W multiples of 8."""
        return self.outputs(L)["ab"]
