"""Metrics per image and of sets, trivial baselines and intervals; docs/reference/metrics.md defines each.

Every per-image metric takes a batch and returns one value per image, from which means, intervals and worst cases are
computed. RGB metrics are of uint8 images with a peak of 255, as users get them; the photograph is rounded in the same
way. `registry` holds the label, unit, digits and direction of each.

The functions are imported when they are first used: the registry works without torch, which takes seconds to import.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colorize_core.metrics.baselines import best_constant, ceiling, constant_color, gray
    from colorize_core.metrics.difference import auc, ciede2000, rarity, rebalanced_auc
    from colorize_core.metrics.distribution import InceptionFeatures, fid, frechet_distance, kid
    from colorize_core.metrics.intervals import bootstrap_interval
    from colorize_core.metrics.perceptual import LPIPS
    from colorize_core.metrics.pixel import colorfulness, mae_ab, mse, psnr, psnr_of_mse
    from colorize_core.metrics.similarity import ssim, ssim_uniform, ssim_unit

_MODULES = ("pixel", "similarity", "difference", "baselines", "intervals", "perceptual", "distribution")

__all__ = [
    "LPIPS",
    "InceptionFeatures",
    "auc",
    "best_constant",
    "bootstrap_interval",
    "ceiling",
    "ciede2000",
    "colorfulness",
    "constant_color",
    "fid",
    "frechet_distance",
    "gray",
    "kid",
    "mae_ab",
    "mse",
    "psnr",
    "psnr_of_mse",
    "rarity",
    "rebalanced_auc",
    "ssim",
    "ssim_uniform",
    "ssim_unit",
]


def __getattr__(name: str) -> Any:
    for module in _MODULES if name in __all__ else ():
        found = getattr(importlib.import_module(f"{__name__}.{module}"), name, None)
        if found is not None:
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
