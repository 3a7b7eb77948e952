"""Colorization itself: color science, models, training, metrics. Uses torch, numpy and pyarrow, never Ray."""

__version__ = "0.2.0"
