"""Losses of the generator and the configuration section `loss`.

A loss is one function with the decorator `loss`: the key `loss.NAME` with its weight, `--help`, the columns of
metrics.csv and the curves follow from it. An option of a loss is a field of `LossOptions`. Predictions and targets are
on the network's scale, and every loss is a mean over images and pixels, so that its weight does not depend on the batch
or the image size.

The module works without torch, which takes seconds to import: command lines read names and descriptions from it.
Functions use methods of tensors, and import what else they need where they use it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model, model_validator

from colorize_core.options import Options

if TYPE_CHECKING:
    from torch import Tensor, nn

ColorPrior = Sequence[Sequence[float]]
"""[a, b, fraction] of the training pixels (`DatasetInfo.color_prior`)."""


@dataclass(frozen=True)
class LossInputs:
    """Prediction and target of one batch."""

    outputs: Mapping[str, "Tensor"]
    """Outputs of the model (`ColorModel.outputs`)."""
    predicted: "Tensor"
    """(B, 2, H, W) predicted ab, float32."""
    target: "Tensor"
    """(B, 2, H, W) true ab."""
    L: "Tensor"
    """(B, 1, H, W) lightness of the true photograph."""
    options: "LossOptions"
    state: Any
    """Tensor or module that the loss's `setup` returned, on the device of the batch; None without `setup`."""

    def predicted_rgb(self) -> "Tensor":
        """Return the predicted image (B, 3, H, W), sRGB in [0, 1], with the true lightness."""
        from colorize_core.color.lab import network_rgb

        return network_rgb(self.L, self.predicted)

    def true_rgb(self) -> "Tensor":
        """Return the photograph (B, 3, H, W), sRGB in [0, 1]."""
        from colorize_core.color.lab import network_rgb

        return network_rgb(self.L, self.target)


Setup = Callable[["LossOptions", ColorPrior], "Tensor | nn.Module"]


@dataclass(frozen=True)
class Loss:
    """A loss of the generator."""

    name: str
    help: str
    compute: Callable[[LossInputs], "Tensor"]
    """Function that returns the scalar loss."""
    setup: Setup | None
    """Function that makes what the loss computes with once, at the start of the training."""
    uses_target: bool
    """False for regularization terms, which cannot train a model alone."""
    check: Callable[["LossOptions"], None] | None
    """Function that checks the loss's options and pretrained weights without loading these; raises UserError."""
    needs_bins: bool
    """True if the model must output logits over the 313 color bins."""
    pretrained: tuple[str, str] | None
    """Option with the location of pretrained weights that the loss needs, and the network's name in torchvision."""


LOSSES: dict[str, Loss] = {}
"""All losses by name, in the order of definition."""


def loss(
    help: str,
    *,
    setup: Setup | None = None,
    check: Callable[["LossOptions"], None] | None = None,
    uses_target: bool = True,
    needs_bins: bool = False,
    pretrained: tuple[str, str] | None = None,
) -> Callable[[Callable[[LossInputs], "Tensor"]], Callable[[LossInputs], "Tensor"]]:
    """Register the decorated function as a loss under its name; see `Loss` for the arguments."""

    def register(compute: Callable[[LossInputs], "Tensor"]) -> Callable[[LossInputs], "Tensor"]:
        name = compute.__name__
        LOSSES[name] = Loss(name, help, compute, setup, uses_target, check, needs_bins, pretrained)
        return compute

    return register


def _bin_weights(options: "LossOptions", color_prior: ColorPrior) -> "Tensor":
    """Return the weight (313,) of a pixel by the bin of its true color."""
    from colorize_core.color.bins import bin_prior, rebalancing_weights

    return rebalancing_weights(bin_prior(color_prior), options.prior_smoothing).float()


def _vgg(options: "LossOptions", color_prior: ColorPrior) -> "nn.Module":
    from colorize_core.training.perceptual import RELU_FEATURES, VGGDistance

    return VGGDistance(RELU_FEATURES, options.vgg_weights)


def _check_vgg(options: "LossOptions") -> None:
    from colorize_core.training.perceptual import RELU_FEATURES, check_vgg_weights

    check_vgg_weights(RELU_FEATURES, options.vgg_weights)


def _vgg_bn(options: "LossOptions", color_prior: ColorPrior) -> "nn.Module":
    from colorize_core.training.perceptual import CONV_FEATURES, VGGDistance

    return VGGDistance(CONV_FEATURES, options.vgg_bn_weights)


def _check_vgg_bn(options: "LossOptions") -> None:
    from colorize_core.training.perceptual import CONV_FEATURES, check_vgg_weights

    check_vgg_weights(CONV_FEATURES, options.vgg_bn_weights)


@loss("Mean absolute error of ab on the network's scale.")
def l1(inputs: LossInputs) -> "Tensor":
    """Mean absolute error."""
    return (inputs.predicted - inputs.target).abs().mean()


@loss("Mean squared error of ab on the network's scale.")
def mse(inputs: LossInputs) -> "Tensor":
    """Mean squared error."""
    return (inputs.predicted - inputs.target).square().mean()


@loss("Squared error below smooth_l1_beta, absolute error above.")
def smooth_l1(inputs: LossInputs) -> "Tensor":
    """Huber loss divided by beta."""
    import torch.nn.functional as F

    return F.smooth_l1_loss(inputs.predicted, inputs.target, beta=inputs.options.smooth_l1_beta)


@loss("Total variation of the predicted ab, for smoother colors.", uses_target=False)
def tv(inputs: LossInputs) -> "Tensor":
    """Anisotropic total variation (Rudin et al. 1992): mean absolute horizontal plus mean absolute vertical step."""
    ab = inputs.predicted
    return ab.diff(dim=-1).abs().mean() + ab.diff(dim=-2).abs().mean()


@loss("Squared error, weighted by the rarity of the true color.", setup=_bin_weights)
def color_weighted(inputs: LossInputs) -> "Tensor":
    """Squared error weighted by the bin of the true color (paper resnet18-losses, which does not give the weights)."""
    from colorize_core.color.bins import nearest_bins
    from colorize_core.color.lab import denormalize_ab

    weights = inputs.state[nearest_bins(denormalize_ab(inputs.target))]
    return (weights * (inputs.predicted - inputs.target).square()).mean()


@loss("Distance in the features of VGG-16.", setup=_vgg, check=_check_vgg, pretrained=("vgg_weights", "vgg16"))
def perceptual(inputs: LossInputs) -> "Tensor":
    """Perceptual distance of the two images with the true lightness (see `perceptual.RELU_FEATURES`)."""
    distance: Tensor = inputs.state(inputs.predicted_rgb(), inputs.true_rgb())
    return distance


@loss(
    "Distance in convolutions of VGG-16 with BatchNorm, weighted by depth (DDColor).",
    setup=_vgg_bn,
    check=_check_vgg_bn,
    pretrained=("vgg_bn_weights", "vgg16_bn"),
)
def perceptual_conv(inputs: LossInputs) -> "Tensor":
    """Perceptual distance from the photograph, whose color may be enhanced (see `perceptual.CONV_FEATURES`)."""
    from colorize_core.training.enhancement import enhance

    truth = enhance(inputs.true_rgb(), inputs.options.color_enhance)
    distance: Tensor = inputs.state(inputs.predicted_rgb(), truth)
    return distance


@loss("1 minus the colorfulness of the predicted image, for vivid colors (DDColor).", uses_target=False)
def colorfulness(inputs: LossInputs) -> "Tensor":
    """Mean of 1 - M3 (Hasler and Suesstrunk 2003) of sRGB in [0, 1], with absolute opponent channels as in DDColor.

    DDColor sums over the images of a batch (basicsr/losses/losses.py): its weight is to be multiplied by their number.
    """
    import torch

    red, green, blue = inputs.predicted_rgb().flatten(2).unbind(1)
    opponents = torch.stack(((red - green).abs(), ((red + green) / 2 - blue).abs()), dim=1)
    # Of a gray image both norms are 0, where their gradient is not defined: the variance is kept above it.
    deviation = (opponents.var(dim=2).sum(dim=1) + 1e-12).sqrt()
    mean = (opponents.mean(dim=2).square().sum(dim=1) + 1e-12).sqrt()
    return (1 - deviation - 0.3 * mean).mean()


@loss(
    "Classification into 313 color bins, rebalanced by rarity; for models with bins (zhang_eccv16, pretrained_unet).",
    setup=_bin_weights,
    needs_bins=True,
)
def cross_entropy(inputs: LossInputs) -> "Tensor":
    """Cross-entropy with soft-encoded, rebalanced colors (Zhang et al. 2016, eq. 2 and 3); see `bin_cross_entropy`."""
    return bin_cross_entropy(inputs.outputs["logits"], inputs.target, inputs.state)


def bin_cross_entropy(logits: "Tensor", target: "Tensor", bin_weights: "Tensor") -> "Tensor":
    """Compute the cross-entropy of bin logits and soft-encoded colors.

    Args:
        logits: (B, 313, h, w); h and w divide the target's size, and the target is averaged to it.
        target: (B, 2, H, W).
        bin_weights: (313,) weight of a pixel by its most likely bin.
    """
    import torch
    import torch.nn.functional as F

    from colorize_core.color.bins import soft_encode
    from colorize_core.color.lab import denormalize_ab

    indices, shares = soft_encode(denormalize_ab(F.adaptive_avg_pool2d(target, (logits.shape[-2], logits.shape[-1]))))
    log_likelihood = torch.log_softmax(logits.float(), dim=1).gather(1, indices)
    most_likely = indices.gather(1, shares.argmax(dim=1, keepdim=True))
    return -(bin_weights[most_likely] * shares * log_likelihood).sum(dim=1).mean()


class _LossOptions(Options):
    """Weights of the losses; a loss with weight 0 is off."""

    adversarial: float = Field(0.0, ge=0)
    """Adversarial loss; its kind is discriminator.loss, and discriminator.kind is the network (PatchGAN, pix2pix)."""
    smooth_l1_beta: float = Field(1.0, gt=0)
    """Error on the network's scale (ab/110) at which smooth_l1 changes from squared to absolute."""
    prior_smoothing: float = Field(0.5, ge=0, le=1)
    """Fraction of the uniform distribution mixed into the color prior, for color_weighted and cross_entropy; Zhang et
    al. 2016 use 0.5."""
    vgg_weights: str | None = None
    """Path or URI of torchvision's VGG-16 state dict, for perceptual; downloaded when empty."""
    vgg_bn_weights: str | None = None
    """Path or URI of torchvision's state dict of VGG-16 with BatchNorm (vgg16_bn), for perceptual_conv; downloaded when
    empty."""
    color_enhance: float = Field(1.0, gt=0)
    """Factor by which the colors of the photograph are moved away from gray for perceptual_conv and the discriminator,
    so that predictions become less pale; DDColor uses 1.2."""

    @model_validator(mode="after")
    def _check(self) -> "_LossOptions":
        if self.color_enhance != 1 and not (self.adversarial or self.weight("perceptual_conv")):
            raise ValueError("color_enhance has no effect without loss.perceptual_conv or loss.adversarial")
        if not any(each.uses_target for each in self.active()):
            raise ValueError("no loss compares with the true colors; give loss.l1 or another one a weight")
        return self

    def weight(self, name: str) -> float:
        """Return the weight of a loss."""
        return float(getattr(self, name))

    def active(self) -> list[Loss]:
        """Return the losses with a weight above 0, without the adversarial loss."""
        return [each for name, each in LOSSES.items() if self.weight(name)]


if TYPE_CHECKING:
    LossOptions = _LossOptions
else:
    LossOptions = create_model(
        "LossOptions",
        __base__=_LossOptions,
        __doc__=_LossOptions.__doc__,
        __module__=__name__,
        **{each.name: (float, Field(0.0, ge=0, description=each.help)) for each in LOSSES.values()},
    )
