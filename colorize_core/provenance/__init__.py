"""Proof of origin in color images: metadata (XMP) and signed content credentials (C2PA)."""
