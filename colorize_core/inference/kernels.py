"""Compiled loops of chroma upsampling: linear model of the guided filter, interpolation of columns and rows."""

from typing import Any, TypeAlias

import numpy as np

from colorize_core.runtime.compiling import compile_loop

_Real: TypeAlias = Any  # np.float32: numba accepts it as it is, type checkers do not accept it as a float
_F = np.float32


@compile_loop
def fit_lines(ab: np.ndarray, L: np.ndarray, epsilon: _Real, lines: np.ndarray) -> None:
    """Fit chroma as a linear function of lightness around each pixel (`upsampling.linear_model`).

    Args:
        ab: (2, h, w) float32 chroma.
        L: (h, w) float32 lightness.
        epsilon: float32 regularization, added to the variance of lightness.
        lines: (4, h, w) float32 output: slopes of a and b, then their offsets.
    """
    height, width = L.shape
    slopes, sums = np.empty((2, height, width), _F), np.empty(width, _F)
    mean_L, mean_LL, mean, product = np.empty(width, _F), np.empty(width, _F), np.empty(width, _F), np.empty(width, _F)
    for y in range(height):
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        top, middle, bottom = L[above], L[y], L[below]
        for x in range(width):
            sums[x] = top[x] + middle[x] + bottom[x]
        _mean_of_three(sums, mean_L)
        for x in range(width):
            sums[x] = top[x] * top[x] + middle[x] * middle[x] + bottom[x] * bottom[x]
        _mean_of_three(sums, mean_LL)
        for channel in range(2):
            first, second, third, slope = ab[channel, above], ab[channel, y], ab[channel, below], slopes[channel, y]
            for x in range(width):
                sums[x] = first[x] + second[x] + third[x]
            _mean_of_three(sums, mean)
            for x in range(width):
                sums[x] = first[x] * top[x] + second[x] * middle[x] + third[x] * bottom[x]
            _mean_of_three(sums, product)
            for x in range(width):
                variance = mean_LL[x] - mean_L[x] * mean_L[x]
                slope[x] = (product[x] - mean_L[x] * mean[x]) / (variance + epsilon)
    for channel in range(2):
        for y in range(height):
            first, second, third = (
                slopes[channel, max(y - 1, 0)],
                slopes[channel, y],
                slopes[channel, min(y + 1, height - 1)],
            )
            for x in range(width):
                sums[x] = first[x] + second[x] + third[x]
            slope, offset, values, lightness = lines[channel, y], lines[channel + 2, y], ab[channel, y], L[y]
            _mean_of_three(sums, slope)
            for x in range(width):
                offset[x] = values[x] - slope[x] * lightness[x]


@compile_loop
def _mean_of_three(sums: np.ndarray, means: np.ndarray) -> None:
    """Write means over 3 x 3 windows, given sums over 3 rows; edges are repeated."""
    last = len(sums) - 1
    for x in range(1, last):
        means[x] = (sums[x - 1] + sums[x] + sums[x + 1]) * _F(1 / 9)
    means[0] = (sums[0] + sums[0] + sums[min(1, last)]) * _F(1 / 9)
    means[last] = (sums[max(last - 1, 0)] + sums[last] + sums[last]) * _F(1 / 9)


@compile_loop
def enlarge_columns(small: np.ndarray, left: np.ndarray, weight: np.ndarray, columns: np.ndarray) -> None:
    """Interpolate the columns of a larger image.

    Args:
        small: (C, h, w) float32.
        left: (W,) source column to the left of each target column.
        weight: (W,) float32 weight of the source column to its right.
        columns: (C, h, W) float32 output.
    """
    last = small.shape[2] - 1
    for channel in range(small.shape[0]):
        for y in range(small.shape[1]):
            row, out = small[channel, y], columns[channel, y]
            for x in range(len(left)):
                one = row[left[x]]
                out[x] = one + weight[x] * (row[min(left[x] + 1, last)] - one)


@compile_loop
def enlarge_rows(
    columns: np.ndarray, above: np.ndarray, weight: np.ndarray, L: np.ndarray, guided: bool, ab: np.ndarray
) -> None:
    """Interpolate the chroma of rows of a larger image.

    Args:
        columns: (C, h, W) float32: a and b, or, if guided, their slopes over lightness and then their offsets.
        above: (n,) source row above each target row.
        weight: (n,) float32 weight of the source row below it.
        L: (n, W) float32 lightness of the target rows.
        guided: True if the columns are slopes and offsets.
        ab: (2, n, W) float32 output.
    """
    last = columns.shape[1] - 1
    for y in range(len(above)):
        top, w = above[y], weight[y]
        bottom = min(top + 1, last)
        for channel in range(2):
            one, other, out = columns[channel, top], columns[channel, bottom], ab[channel, y]
            if guided:
                offset, other_offset, lightness = columns[channel + 2, top], columns[channel + 2, bottom], L[y]
                for x in range(len(out)):
                    slope = one[x] + w * (other[x] - one[x])
                    out[x] = slope * lightness[x] + offset[x] + w * (other_offset[x] - offset[x])
            else:
                for x in range(len(out)):
                    out[x] = one[x] + w * (other[x] - one[x])
