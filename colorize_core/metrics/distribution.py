"""Distances between a set of images and a set of photographs in Inception features: FID and KID."""

import tempfile
from contextlib import redirect_stderr
from io import StringIO

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorize_core.encoders.state_dicts import is_cached, read_state_dict, read_tensor_shapes
from colorize_core.errors import UserError
from colorize_core.metrics.registry import InceptionVariant

FEATURES = 2048
FULL_RANK = FEATURES + 1
"""Number of images below which the covariance of features is singular and FID is far too large."""
_KERNEL_ROWS = 1024

_INCEPTION_SIDE = 299
_LAST_LAYER = "AvgPool"
_FIRST_WEIGHTS, _FIRST_SHAPE = "Conv2d_1a_3x3.conv.weight", (32, 3, 3, 3)


class InceptionFeatures(nn.Module):
    """Inception-v3 that FID is defined with (Heusel et al. 2017), through torch-fidelity.

    Its weights were ported from TensorFlow; torchvision's Inception gives other numbers. Packages with these weights
    differ in how they enlarge images to 299 px and scale them: torch-fidelity, and TF-GAN, as the network of TensorFlow
    1 did; pytorch-fid by torch's bilinear interpolation and to [-1, 1].
    """

    def __init__(
        self, weights: str | None = None, variant: InceptionVariant = "torch-fidelity", side: int | None = None
    ) -> None:
        """Load the network.

        Args:
            weights: path or URI of torch-fidelity's weights-inception-2015-12-05-6726825d.pth; None downloads it.
            variant: package whose values are computed.
            side: side in pixels to which larger images are reduced first, by the mean over areas, and rounded; None
                keeps their size.

        Raises:
            UserError: the weights cannot be loaded or do not fit; random weights are never used.
        """
        super().__init__()
        self._prepare = {"torch-fidelity": _as_tensorflow, "pytorch-fid": _as_pytorch_fid}[variant]
        self._side = side
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        try:
            with redirect_stderr(StringIO()), tempfile.NamedTemporaryFile(suffix=".pth") as checked:
                if weights is not None:
                    # Read with the restricted loader first; torch-fidelity would run code from the file.
                    torch.save(read_state_dict(weights), checked.name)
                self.net = FeatureExtractorInceptionV3(
                    "inception-v3-compat", [str(FEATURES)], checked.name if weights is not None else None
                )
        except UserError:
            raise
        except RuntimeError as error:
            raise UserError(f"{weights}: not the Inception weights of FID (a tensor has another shape)") from error
        except Exception as error:  # URLError, HTTPError, socket and hash errors
            raise UserError(
                f"cannot download the Inception weights of FID ({error}); set fid.weights to a local copy"
            ) from error

    @torch.inference_mode()
    def forward(self, rgb: Tensor) -> Tensor:
        """Compute features (B, 2048) float32 of (B, 3, H, W) uint8 sRGB."""
        if self._side and rgb.shape[-1] > self._side:
            rgb = F.interpolate(rgb.float(), (self._side, self._side), mode="area").round().to(torch.uint8)
        x = self._prepare(rgb.float())
        for name, layer in self.net.named_children():
            x = layer(x)
            if name == _LAST_LAYER:
                break
        return x.flatten(1)


def _as_tensorflow(rgb: Tensor) -> Tensor:
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    size = (_INCEPTION_SIDE, _INCEPTION_SIDE)
    enlarged: Tensor = interpolate_bilinear_2d_like_tensorflow1x(rgb, size=size, align_corners=False)
    return (enlarged - 128) / 128


def _as_pytorch_fid(rgb: Tensor) -> Tensor:
    size = (_INCEPTION_SIDE, _INCEPTION_SIDE)
    return F.interpolate(rgb / 255, size, mode="bilinear", align_corners=False) * 2 - 1


def has_inception_weights() -> bool:
    """Return True if the published weights of `InceptionFeatures` have been downloaded to this machine already."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    return is_cached(URL_INCEPTION_V3)


def check_inception_weights(weights: str | None) -> None:
    """Check the weights of `InceptionFeatures` without loading the network, as far as possible; raises UserError.

    Published weights (None) are loaded, because this downloads them.
    """
    if weights is None:
        InceptionFeatures()
        return
    shapes = read_tensor_shapes(weights)
    if shapes and shapes.get(_FIRST_WEIGHTS) != _FIRST_SHAPE:
        raise UserError(f"{weights}: not the Inception weights of FID ({_FIRST_WEIGHTS} does not fit)")


def fid(real: Tensor, made: Tensor) -> float:
    """Compute the Frechet Inception distance (Heusel et al. 2017).

    It is the distance of two Gaussians with the means and covariances of the two sets.

    Args:
        real: (N, D) features of photographs.
        made: (M, D) features of colorized images.
    """
    return frechet_distance(*_gaussian(real), *_gaussian(made))


def frechet_distance(mean1: Tensor, factor1: Tensor, mean2: Tensor, factor2: Tensor) -> float:
    """Compute the squared Frechet (Wasserstein-2) distance of two Gaussians (Dowson and Landau 1982), in float64.

    With covariances C = F^T F, the trace of the square root of C1 C2 is the sum of the singular values of F1 F2^T. This
    avoids the square root of a matrix, which loses digits for singular covariances, and keeps matrices small for few
    images.

    Args:
        mean1: (D,) mean.
        factor1: (R, D) factor of the covariance, with any R.
        mean2: like `mean1`.
        factor2: like `factor1`, with its own R.
    """
    mean1, factor1, mean2, factor2 = (each.double() for each in (mean1, factor1, mean2, factor2))
    cross = torch.linalg.svdvals(factor1 @ factor2.T).sum()
    return float((mean1 - mean2).square().sum() + factor1.square().sum() + factor2.square().sum() - 2 * cross)


def _gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the mean, and a factor of the unbiased covariance with at most as many rows as columns."""
    features = features.double()
    mean = features.mean(dim=0)
    factor = (features - mean) / (len(features) - 1) ** 0.5
    return mean, factor if factor.shape[0] <= factor.shape[1] else torch.linalg.qr(factor, mode="r").R


def kid(real: Tensor, made: Tensor) -> float:
    """Compute the kernel Inception distance: unbiased squared MMD, kernel (x.y / D + 1)^3 (Binkowski et al. 2018).

    All pairs are used; packages usually average over random subsets, which has the same expectation.

    Args:
        real: (N, D) features of photographs.
        made: (M, D) features of colorized images.
    """
    within = [
        (_kernel_sum(each, each) - _kernel_diagonal(each)) / (len(each) * (len(each) - 1)) for each in (real, made)
    ]
    return within[0] + within[1] - 2 * _kernel_sum(real, made) / (len(real) * len(made))


def _kernel_sum(x: Tensor, y: Tensor) -> float:
    y = y.double()
    parts = (((rows.double() @ y.T) / x.shape[1] + 1) ** 3 for rows in x.split(_KERNEL_ROWS))
    return float(sum(part.sum() for part in parts))


def _kernel_diagonal(x: Tensor) -> float:
    return float(((x.double().square().sum(dim=1) / x.shape[1] + 1) ** 3).sum())
