"""Conversion between 8 and 16 bits per channel."""

import numpy as np

from colorize_core.runtime.strips import row_slices


def to_depth(values: np.ndarray, bits: int) -> np.ndarray:
    """Scale uint8 or uint16 values of any shape to 8 or 16 bits; 255 corresponds to 65535."""
    if values.dtype.itemsize * 8 == bits:
        return values
    if bits == 16:
        return values.astype(np.uint16) * 257
    scaled = np.empty(values.shape, np.uint8)
    for rows in row_slices(len(values), values[:1].size):
        scaled[rows] = (values[rows].astype(np.uint32) * 255 + 32767) // 65535
    return scaled
