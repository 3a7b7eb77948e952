"""Weighted sum of the losses of the generator."""

from collections.abc import Mapping

from torch import Tensor, nn

from colorize_core.training.losses import ColorPrior, LossInputs, LossOptions


class ColorLoss(nn.Module):
    """Weighted sum of the losses that have a weight, without the adversarial loss."""

    def __init__(self, options: LossOptions, color_prior: ColorPrior = ()) -> None:
        """Set up the active losses.

        Args:
            options: weights and options of the losses.
            color_prior: color prior of the dataset, for color_weighted and cross_entropy.

        Raises:
            UserError: pretrained weights of a loss cannot be loaded.
        """
        super().__init__()
        self._options, self._losses = options, options.active()
        for loss in self._losses:
            state = loss.setup(options, color_prior) if loss.setup else None
            if isinstance(state, nn.Module):
                self.add_module(f"{loss.name}_state", state)
            else:
                self.register_buffer(f"{loss.name}_state", state)

    def forward(self, outputs: Mapping[str, Tensor], L: Tensor, ab: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compare the outputs of a model with the target.

        Args:
            outputs: outputs of `ColorModel.outputs`: ab (B, 2, H, W), and logits if the model has bins.
            L: (B, 1, H, W) lightness of the true photograph.
            ab: (B, 2, H, W) true colors.

        Returns:
            The weighted sum, and each unweighted loss by name, detached.
        """
        total = ab.new_zeros(())
        parts: dict[str, Tensor] = {}
        predicted = outputs["ab"].float()
        for loss in self._losses:
            state = getattr(self, f"{loss.name}_state")
            value = loss.compute(LossInputs(outputs, predicted, ab, L, self._options, state))
            total = total + self._options.weight(loss.name) * value
            parts[loss.name] = value.detach()
        return total, parts
