"""Threshold between gray and color photographs. Imported by processes without torch."""

GRAY_CHROMA = 4.0
"""Photographs whose mean chroma, in CIELAB units, is below this count as gray: too little color to train on or keep."""
