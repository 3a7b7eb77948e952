"""Random crops of square photographs: copied as they are, or resampled to a size."""

import math

import torch
from torch import Tensor

_LOG_ASPECT_RANGE = math.log(9 / 8)  # height / width of a resampled crop lies between 8/9 and 9/8


def random_crop(pixels: Tensor, positions: Tensor, side: int) -> Tensor:
    """Cut a square of `side` pixels out of each photograph.

    Args:
        pixels: (B, C, S, S).
        positions: (B, 2) in [0, 1): top and left edge, as a fraction of the possible range.
        side: side of the squares, at most S.

    Returns:
        (B, C, side, side).
    """
    corners = (positions * (pixels.shape[-1] - side + 1)).long().tolist()
    squares = zip(pixels, corners, strict=True)
    return torch.stack([photo[:, top : top + side, left : left + side] for photo, (top, left) in squares])


def random_crop_boxes(numbers: Tensor, size: int, zoom: float) -> Tensor:
    """Choose random boxes anywhere in the photographs, of random size and aspect ratio (Szegedy et al. 2015).

    Args:
        numbers: (B, 4) in [0, 1): size, aspect ratio, top and left edge.
        size: side of the photographs in pixels.
        zoom: minimum side of a box as a fraction of `size`; fractions are uniform between it and 1.

    Returns:
        (B, 4) float64 in pixels: top, left, height and width; edges may lie between pixels.
    """
    fraction, aspect, *position = numbers.double().unbind(1)
    side = size * (zoom + (1 - zoom) * fraction)
    ratio = torch.exp(_LOG_ASPECT_RANGE * (aspect - 0.5))  # square root of height / width
    height, width = (side * ratio).clamp(max=size), (side / ratio).clamp(max=size)
    return torch.stack((position[0] * (size - height), position[1] * (size - width), height, width), dim=1)


def resized_crop(pixels: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Resample a box of each photograph to `side` pixels: bilinear, antialiased when it shrinks, as Pillow does.

    A batch of different boxes takes two matrix products on any device: one matrix per photograph holds the weights of
    its rows, one those of its columns.

    Args:
        pixels: (B, C, S, S) uint8.
        boxes: (B, 4) in pixels: top, left, height, width (see `random_crop_boxes`).
        side: side of the result.

    Returns:
        (B, C, side, side) uint8.
    """
    top, left, height, width = boxes.unbind(1)
    vertical = _resampling_weights(top, height, side, pixels.shape[-2]).to(pixels.device)
    horizontal = _resampling_weights(left, width, side, pixels.shape[-1]).to(pixels.device)
    lines = (pixels.float().flatten(1, 2) @ horizontal.mT).unflatten(1, pixels.shape[1:3])
    return (vertical[:, None] @ lines).round_().clamp_(0, 255).to(torch.uint8)


def _resampling_weights(start: Tensor, length: Tensor, side: int, size: int) -> Tensor:
    """Return the weight (B, side, size), float32, of each of `size` source pixels in each of `side` target pixels.

    The target pixels cover the interval from `start` (B,) of `length` (B,) source pixels.
    """
    scale = (length / side)[:, None]
    centers = start[:, None] + (torch.arange(side) + 0.5) * scale
    support = scale.clamp(min=1)
    distances = (torch.arange(size) + 0.5 - centers.float()[:, :, None]).abs_().div_(support.float()[:, :, None])
    weights = distances.neg_().add_(1).clamp_(min=0)
    return weights.div_(weights.sum(dim=2, keepdim=True))
