"""Discriminators of adversarial training. All map L (B, 1, H, W) and ab (B, 2, H, W) to logits (B, 1, h, w)."""

from typing import TYPE_CHECKING

from colorize_core.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from colorize_core.training.options import DiscriminatorOptions


def build_discriminator(options: "DiscriminatorOptions") -> "nn.Module":
    """Build the discriminator that the configuration describes, with initial weights."""
    from colorize_core.discriminators.patchgan import PatchGAN
    from colorize_core.discriminators.rgb import RGBDiscriminator

    if options.kind == "rgb":
        return RGBDiscriminator(options.layers)
    return PatchGAN(options.layers, norm=options.norm)


def require_size(height: int, width: int, smallest_side: int) -> None:
    """Raise UserError if images are too small for the layers of a discriminator."""
    if min(height, width) < smallest_side:
        raise UserError(
            f"discriminator.layers: images of {width}x{height} are too small, the side must be {smallest_side} or "
            "more; use fewer layers"
        )
