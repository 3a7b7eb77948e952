"""Metrics: per image, of sets, their trivial baselines and intervals. docs/reference/metrics.md defines each.

Every per-image metric takes a batch and returns one value per image, so that means, intervals and worst cases are all
made from the same numbers. RGB metrics are of the images people get: uint8, peak 255, truth rounded the same way.
"""

from colorize_core.metrics.baselines import best_constant, ceiling, constant_color, gray
from colorize_core.metrics.colorfulness import colorfulness
from colorize_core.metrics.difference import auc, ciede2000, rarity, rebalanced_auc
from colorize_core.metrics.distribution import InceptionFeatures, fid, frechet_distance, kid
from colorize_core.metrics.intervals import bootstrap_interval
from colorize_core.metrics.perceptual import LPIPS
from colorize_core.metrics.pixel import PSNR_CAP, mae_ab, mse, psnr, psnr_of_mse
from colorize_core.metrics.similarity import ssim, ssim_uniform, ssim_unit

__all__ = [
    "LPIPS",
    "PSNR_CAP",
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
