"""Per-image metrics, their trivial baselines and bootstrap intervals.

Every metric takes a batch and returns one value per image, so that means, intervals and worst cases are all made
from the same numbers. RGB metrics are of the images people get: uint8, peak 255, truth rounded the same way.
"""

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from colorize_core.color import AB_SCALE
from colorize_core.errors import UserError
from colorize_core.models.backbone import download_state_dict, read_state_dict
from colorize_core.strips import row_strips

PSNR_CAP = 100.0  # dB; identical images would be infinite and swamp a mean
_SSIM_WINDOW = 11
_SSIM_SIGMA = 1.5

# Whether a larger value is better, by metric: the order of columns in every table.
HIGHER_IS_BETTER = {"mae_ab": False, "psnr": True, "ssim": True, "lpips": False}


def mae_ab(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error of a and b divided by 110, per image.

    Args:
        predicted: (B, 2, H, W) float, CIELAB units.
        truth: the same shape.

    Returns:
        (B,) float; the scale networks train on, as seed 000 reports it (gray is about 0.09 on photographs).
    """
    return (predicted - truth).abs().mean(dim=(1, 2, 3)) / AB_SCALE


def psnr(predicted: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, peak 255, per image, at most `PSNR_CAP`.

    Args:
        predicted: (B, 3, H, W) uint8 sRGB.
        truth: the same shape.

    Returns:
        (B,) float64.
    """
    batch, _, height, width = predicted.shape
    squares = torch.zeros(batch, dtype=torch.float64, device=predicted.device)
    for rows in row_strips(height, batch * width):
        difference = predicted[:, :, rows].float() - truth[:, :, rows].float()
        squares += difference.square().sum(dim=(1, 2, 3), dtype=torch.float64)
    mse = squares / (3 * height * width)
    return (10 * torch.log10(255.0**2 / mse)).clamp_max(PSNR_CAP)


def ssim(predicted: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity, per image, mean over the RGB channels.

    Wang et al. 2004: Gaussian window 11x11 with sigma 1.5, K1 0.01, K2 0.03, range 255, windows wholly inside the
    image. Equals scikit-image with gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255.

    Args:
        predicted: (B, 3, H, W) uint8 sRGB.
        truth: the same shape.

    Returns:
        (B,) float64; NaN where a side is shorter than the window.
    """
    batch, channels, height, width = predicted.shape
    if min(height, width) < _SSIM_WINDOW:
        return torch.full((batch,), float("nan"), dtype=torch.float64, device=predicted.device)
    total = torch.zeros(batch, dtype=torch.float64, device=predicted.device)
    inside_rows, inside_columns = height - _SSIM_WINDOW + 1, width - _SSIM_WINDOW + 1
    for rows in row_strips(inside_rows, batch * width):
        window_rows = slice(rows.start, rows.stop + _SSIM_WINDOW - 1)
        similarity = _ssim_map(predicted[:, :, window_rows].float(), truth[:, :, window_rows].float())
        total += similarity.sum(dim=(1, 2, 3), dtype=torch.float64)
    return total / (channels * inside_rows * inside_columns)


def _ssim_map(x: Tensor, y: Tensor) -> Tensor:
    # Centred, so that float32 keeps the digits that E[x^2] - E[x]^2 would lose; SSIM's means are put back below.
    x, y = x - 127.5, y - 127.5
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x * mean_x
    var_y = _blur(y * y) - mean_y * mean_y
    covariance = _blur(x * y) - mean_x * mean_y
    mean_x, mean_y = mean_x + 127.5, mean_y + 127.5
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return luminance * (2 * covariance + c2) / (var_x + var_y + c2)


def _blur(x: Tensor) -> Tensor:
    """Separable Gaussian over the last two axes, inside only. Shifted sums: 40 times faster than a CPU convolution."""
    offsets = np.arange(_SSIM_WINDOW) - _SSIM_WINDOW // 2
    window = np.exp(-(offsets**2) / (2 * _SSIM_SIGMA**2))
    window /= window.sum()
    for axis in (-2, -1):
        length = x.shape[axis] - _SSIM_WINDOW + 1
        total = x.narrow(axis, 0, length) * window[0]
        for shift in range(1, _SSIM_WINDOW):
            total.add_(x.narrow(axis, shift, length), alpha=float(window[shift]))
        x = total
    return x


class LPIPS(nn.Module):
    """Learned perceptual similarity (Zhang et al. 2018), version 0.1, through the lpips package.

    The package brings the linear heads; the backbone comes from torchvision, or from a state dict that the user
    names. Without either this raises: a random backbone would give plausible numbers that mean nothing.
    """

    def __init__(self, backbone: Literal["vgg", "alex"] = "vgg", weights: str | None = None) -> None:
        """Load the network.

        Args:
            backbone: "vgg" (VGG-16, as seed 000) or "alex" (AlexNet, the usual one in papers).
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

    @torch.inference_mode()
    def forward(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 sRGB twice, to (B,) float64; the network sees RGB in [-1, 1], no resize."""
        scaled = [image.float() / 127.5 - 1 for image in (predicted, truth)]
        return self.net(*scaled).flatten().double()


def _load_backbone(network: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Fill lpips' slices, which keep torchvision's layer numbers, from a torchvision `features` state dict."""
    own = network.state_dict()
    source = {key: f"features.{key.split('.', 1)[1]}" for key in own}
    missing = [name for key, name in source.items() if name not in state or state[name].shape != own[key].shape]
    if missing:
        raise UserError(f"{what}: not the expected backbone ({missing[0]} is missing or has another shape)")
    network.load_state_dict({key: state[name] for key, name in source.items()})


def gray(ab: Tensor) -> Tensor:
    """The gray baseline: no colour at all, for (B, 2, H, W) ab."""
    return torch.zeros_like(ab)


def constant_color(ab: Tensor, color: tuple[float, float]) -> Tensor:
    """The constant-colour baseline: every pixel painted `color` (a and b, the median of the training set)."""
    return torch.tensor(color, dtype=ab.dtype, device=ab.device).view(1, 2, 1, 1).expand_as(ab)


def bootstrap_interval(
    values: np.ndarray, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over images (Efron 1979).

    Args:
        values: (N,) float, one per image.
        resamples: number of resampled means.
        level: coverage, 0.95 for a 95% interval.
        seed: of the resampling; the same seed pairs the resamples of models scored on the same images.
    """
    generator = np.random.default_rng(seed)
    means = [values[generator.integers(0, len(values), len(values))].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
