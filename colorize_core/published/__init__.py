"""Weights that other projects published: recognized, checked tensor by tensor, and converted to our models.

A new family of weights is one module of this package with a constant `FAMILY`; `recognition` finds it there.
"""
