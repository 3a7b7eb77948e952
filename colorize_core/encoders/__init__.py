"""Encoders trained for classification, and weights of networks from files, packages and downloads."""
