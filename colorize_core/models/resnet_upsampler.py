"""Network of the paper resnet18-losses: first half of ResNet-18, convolutions and upsampling."""

from torch import Tensor, nn

from colorize_core.encoders.resnet18 import gray_resnet18
from colorize_core.models.base import ColorModel


class ResNetUpsampler(ColorModel):
    """ResNet-18 up to layer2 (128 channels at 1/8 of the side), then 3x3 convolutions 128-64-64-32-2 to full size.

    BatchNorm and ReLU after the first two convolutions, ReLU after the third, sigmoid after the fourth; nearest
    upsampling by 2 after the first, third and fifth, so that colors come in blocks of 2x2 pixels. As in
    lukemelas/Automatic-Image-Colorization (model.py), the network in the poster's figure.

    The original input is luma in [0, 1], here lightness L/100, the same range; the original target is
    t = (ab + 128) / 255, here ab/110. The last layer is linear, so the conversion changes only its weights W to
    255/110 W and its bias c to 255/110 c - 128/110.
    """

    backbone = "resnet18"

    def __init__(self, backbone_weights: str | None = None) -> None:
        """Build the network; `backbone_weights` and errors as in `backbone.gray_resnet18`."""
        super().__init__()
        self.body = gray_resnet18(backbone_weights)
        del self.body.layer3, self.body.layer4
        self.head = nn.Sequential(
            nn.Conv2d(128, 128, 3, padding=1),
            nn.BatchNorm2d(128),
            nn.ReLU(inplace=True),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 64, 3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(64, 32, 3, padding=1),
            nn.Sigmoid(),
            nn.Conv2d(32, 2, 3, padding=1),
            nn.Upsample(scale_factor=2),
        )

    def forward(self, L: Tensor) -> Tensor:
        """Map L (B, 1, H, W) in [-1, 1] to ab (B, 2, H, W), unbounded; H and W multiples of 8."""
        body = self.body
        half = body.relu(body.bn1(body.conv1((L + 1) / 2)))
        return self.head(body.layer2(body.layer1(body.maxpool(half))))
