"""Outputs of a training run: metrics, curves, samples, checkpoints, trackers."""
