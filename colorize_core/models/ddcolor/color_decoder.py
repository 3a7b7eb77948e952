"""The color decoder of DDColor: queries that attend to the features of the pixel decoder.

The layers are those of Mask2Former (Cheng et al. 2022) without masks, the position encoding is that of DETR (Carion et
al. 2020).
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEADS = 8
_TEMPERATURE = 10_000.0


class ColorDecoder(nn.Module):
    """Transformer that makes a vector of each query; layer i attends to the features of scale i modulo 3."""

    def __init__(self, source_widths: Sequence[int], width: int, queries: int, layers: int) -> None:
        """Build with vectors of `width` values.

        Args:
            source_widths: channels of the features that are attended to, coarsest first.
            width: length of the vectors of queries and features; a multiple of 8.
            queries: number of queries.
            layers: number of layers.
        """
        super().__init__()
        self.sources = nn.ModuleList(_projection(inputs, width) for inputs in source_widths)
        self.scales = nn.Parameter(torch.randn(len(source_widths), width))
        self.queries = nn.Parameter(torch.randn(queries, width))
        self.query_positions = nn.Parameter(torch.randn(queries, width))
        self.layers = nn.ModuleList(Layer(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.to_vectors = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map features (B, C, h, w) of each scale to the vectors of the queries (B, queries, width)."""
        memories, positions = [], []
        for source, scale, feature in zip(self.sources, self.scales, features, strict=True):
            memory = source(feature)
            memories.append(memory.flatten(2).transpose(1, 2) + scale)
            positions.append(position_encoding(memory).flatten(1).T)
        batch = features[0].shape[0]  # not len(), which an export would take for a constant
        x, x_positions = (each.repeat(batch, 1, 1) for each in (self.queries, self.query_positions))
        for number, layer in enumerate(self.layers):
            scale = number % len(memories)
            x = layer(x, x_positions, memories[scale], positions[scale])
        vectors: Tensor = self.to_vectors(self.norm(x))
        return vectors


def _projection(inputs: int, outputs: int) -> nn.Conv2d:
    projection = nn.Conv2d(inputs, outputs, 1)
    nn.init.kaiming_uniform_(projection.weight, a=1)
    assert projection.bias is not None
    nn.init.zeros_(projection.bias)
    return projection


class Layer(nn.Module):
    """Attention to the pixels, attention among the queries, and two linear layers; each added, then normalized."""

    def __init__(self, width: int) -> None:
        """Build for vectors of `width` values."""
        super().__init__()
        self.to_pixels, self.to_pixels_norm = Attention(width), nn.LayerNorm(width)
        self.to_queries, self.to_queries_norm = Attention(width), nn.LayerNorm(width)
        self.expand, self.contract = nn.Linear(width, 8 * width), nn.Linear(8 * width, width)
        self.norm = nn.LayerNorm(width)
        for linear in (self.expand, self.contract):
            nn.init.xavier_uniform_(linear.weight)

    def forward(self, x: Tensor, x_positions: Tensor, memory: Tensor, positions: Tensor) -> Tensor:
        """Update the queries.

        Args:
            x: (B, queries, width).
            x_positions: (B, queries, width), added to queries and keys, not to values.
            memory: (B, pixels, width) features.
            positions: (pixels, width) encoded positions, added to keys, not to values.

        Returns:
            (B, queries, width).
        """
        x = self.to_pixels_norm(x + self.to_pixels(x + x_positions, memory + positions, memory))
        placed = x + x_positions
        x = self.to_queries_norm(x + self.to_queries(placed, placed, x))
        return self.norm(x + self.contract(F.relu(self.expand(x))))


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017)."""

    def __init__(self, width: int) -> None:
        """Build for vectors of `width` values."""
        super().__init__()
        self.project = nn.Linear(width, 3 * width)
        """Projections of queries, keys and values, one below the other."""
        self.out = nn.Linear(width, width)
        for linear in (self.project, self.out):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Map (B, Q, width), (B, K, width) and (B, K, width) to (B, Q, width)."""
        weights, biases = self.project.weight.chunk(3), self.project.bias.chunk(3)
        heads = [
            F.linear(x, weight, bias).unflatten(2, (HEADS, -1)).transpose(1, 2)
            for x, weight, bias in zip((queries, keys, values), weights, biases, strict=True)
        ]
        attended = F.scaled_dot_product_attention(*heads)
        return self.out(attended.transpose(1, 2).flatten(2))


def position_encoding(x: Tensor) -> Tensor:
    """Return the encoded positions (C, h, w) of the pixels of (B, C, h, w), C a multiple of 4.

    The first half of the channels encodes the row, the second half the column: sines and cosines, in turn, of the
    position on the scale from 0 to 2 pi, divided by 10,000 to the power of 0 to 1.
    """
    channels, height, width = x.shape[1:]
    half = channels // 2
    exponents = torch.arange(0, half, 2, device=x.device, dtype=torch.float32) / half
    frequencies = _TEMPERATURE**-exponents

    def along(size: int) -> Tensor:
        steps = torch.arange(1, size + 1, device=x.device, dtype=torch.float32) / (size + 1e-6) * (2 * math.pi)
        angles = steps[:, None] * frequencies
        return torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1).T

    rows = along(height)[:, :, None].expand(half, height, width)
    columns = along(width)[:, None, :].expand(half, height, width)
    return torch.cat((rows, columns))
