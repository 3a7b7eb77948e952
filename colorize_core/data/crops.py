"""Windows into square photographs: cut out as they are, or resampled to a size."""

import math

import torch
from torch import Tensor

_STRETCH = math.log(9 / 8)  # a window's height by its width is between 8/9 and 9/8


def cut(pixels: Tensor, places: Tensor, side: int) -> Tensor:
    """Squares of `side` pixels.

    Args:
        pixels: (B, C, S, S) of photographs.
        places: (B, 2) in [0, 1), of the top and the left edge between the first and the last possible one.
        side: of the squares, at most S.

    Returns:
        (B, C, side, side).
    """
    corners = (places * (pixels.shape[-1] - side + 1)).long().tolist()
    squares = zip(pixels, corners, strict=True)
    return torch.stack([photo[:, top : top + side, left : left + side] for photo, (top, left) in squares])


def draw_crops(numbers: Tensor, size: int, zoom: float) -> Tensor:
    """Random windows (Szegedy et al. 2015), anywhere in the photograph.

    Args:
        numbers: (B, 4) in [0, 1): share of the side, stretch, and place from top and left.
        size: side of the photographs in pixels.
        zoom: smallest share of the side; shares are uniform between it and 1.

    Returns:
        (B, 4) float64 in pixels: top, left, height and width; edges need not fall on pixels.
    """
    share, stretch, *place = numbers.double().unbind(1)
    side = size * (zoom + (1 - zoom) * share)
    ratio = torch.exp(_STRETCH * (stretch - 0.5))  # its square is height by width
    height, width = (side * ratio).clamp(max=size), (side / ratio).clamp(max=size)
    return torch.stack((place[0] * (size - height), place[1] * (size - width), height, width), dim=1)


def resample(pixels: Tensor, windows: Tensor, side: int) -> Tensor:
    """Windows of photographs at another size: bilinear, and antialiased where they shrink, as Pillow's.

    Rows and columns are weighted by a matrix for each photograph, so that a batch of different windows is two
    multiplications of matrices on any device.

    Args:
        pixels: (B, C, S, S) uint8.
        windows: (B, 4) in pixels: top, left, height, width (see `draw_crops`).
        side: of the result.

    Returns:
        (B, C, side, side) uint8.
    """
    top, left, height, width = windows.unbind(1)
    vertical = _weights(top, height, side, pixels.shape[-2]).to(pixels.device)
    horizontal = _weights(left, width, side, pixels.shape[-1]).to(pixels.device)
    lines = (pixels.float().flatten(1, 2) @ horizontal.mT).unflatten(1, pixels.shape[1:3])
    return (vertical[:, None] @ lines).round_().clamp_(0, 255).to(torch.uint8)


def _weights(start: Tensor, length: Tensor, side: int, size: int) -> Tensor:
    """Share (B, side, size), float32, of each pixel of a line in each pixel of its stretch from `start`."""
    scale = (length / side)[:, None]
    centers = start[:, None] + (torch.arange(side) + 0.5) * scale
    reach = scale.clamp(min=1)
    slopes = (torch.arange(size) + 0.5 - centers.float()[:, :, None]).abs_().div_(reach.float()[:, :, None])
    shares = slopes.neg_().add_(1).clamp_(min=0)
    return shares.div_(shares.sum(dim=2, keepdim=True))
