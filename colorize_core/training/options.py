"""Options of the discriminator and of optimizers. This module does not import torch: command lines read it."""

from typing import Literal

from pydantic import Field, model_validator

from colorize_core.options import Options

GanLoss = Literal["bce", "lsgan", "hinge", "wgan_gp"]
"""Adversarial losses (see `gan_losses`)."""
Schedule = Literal["constant", "linear", "cosine", "multistep"]
"""Learning rate schedules (see `optimizer.learning_rate_factor`)."""
Scaling = Literal["none", "linear", "sqrt"]
"""Scaling rules of the learning rate (see `optimizer.learning_rate_scale`)."""


class DiscriminatorOptions(Options):
    """The discriminator, used with loss.adversarial."""

    kind: Literal["patchgan", "rgb"] = "patchgan"
    """Network: the PatchGAN of pix2pix, which sees L and ab; or that of DDColor, which sees the sRGB image."""
    layers: int = Field(3, ge=0, le=5)
    """Number of stride-2 convolutions: 3 has a receptive field of 70 pixels, 0 classifies each pixel by itself.
    kind=rgb has one more."""
    norm: Literal["batch", "instance", "spectral", "none"] = "batch"
    """Normalization of kind=patchgan; batch is synchronized across workers with GPUs. kind=rgb is always spectral."""
    loss: GanLoss = "bce"
    """Adversarial loss of both networks."""
    lr: float | None = Field(None, gt=0)
    """Learning rate of the discriminator; optim.lr when empty."""
    betas: tuple[float, float] | None = None
    """Adam's beta1 and beta2 for the discriminator; optim.betas when empty."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """One-sided label smoothing for bce and lsgan: the label of real images is 1 minus this."""
    gradient_penalty: float = Field(10.0, gt=0)
    """Weight of the gradient penalty of wgan_gp."""
    r1: float = Field(0.0, ge=0)
    """Weight of the R1 gradient penalty; 0 disables it."""

    @model_validator(mode="after")
    def _check(self) -> "DiscriminatorOptions":
        if self.kind == "rgb" and "norm" in self.model_fields_set:
            raise ValueError("norm has no effect with kind: rgb, whose norm is spectral")
        if self.kind == "patchgan" and self.norm == "batch" and (self.r1 or self.loss == "wgan_gp"):
            raise ValueError(
                "a gradient penalty needs logits that depend on one image only, and norm=batch mixes images; "
                "use discriminator.norm=instance, spectral or none"
            )
        if "gradient_penalty" in self.model_fields_set and self.loss != "wgan_gp":
            raise ValueError("gradient_penalty has no effect without loss: wgan_gp")
        if self.label_smoothing and self.loss not in ("bce", "lsgan"):
            raise ValueError(f"label_smoothing has no effect with loss: {self.loss}")
        return self
