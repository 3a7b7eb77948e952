"""Shared parts of runs: record, lock, progress, Prometheus metrics, requirements."""
