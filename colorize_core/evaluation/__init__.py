"""Scores of sets of images, and their tables."""
