"""Photographs as files: decoding, encoding, color profiles and metadata. Imports no torch."""
