"""Evaluation of models: scoring, tables, sample grids and preferences of raters."""
