"""Optimization steps, losses and schedules."""
