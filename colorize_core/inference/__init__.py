"""Inference: lightness at full size to color at full size."""
