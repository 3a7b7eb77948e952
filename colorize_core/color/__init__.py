"""Color spaces, the sRGB gamut, and the distribution of colors."""

from colorize_core.color.lab import lab_to_rgb, rgb_to_lab

__all__ = ["lab_to_rgb", "rgb_to_lab"]
