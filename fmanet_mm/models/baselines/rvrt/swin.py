"""Residual Swin transformer blocks over windows of several frames.

Within these blocks, features lie pixel by pixel, (N, T, H, W, C).
"""

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, Sequential
from torch import Tensor, nn

from ...common.layers import LeanModule, per_frame

Size = tuple[int, int, int]
"""Frames, rows and columns."""

MASKED = -100.0
"""Added to the logit of two pixels that are no neighbours before a shift."""

WINDOWS_AT_ONCE = 256
"""Attention matrices of this many windows are in memory together."""


class ResidualFeatureBlock(BaseModule):
    """A 3x3 convolution and residual transformer blocks, between two norms.

    Args:
        in_channels (int): Channels of the input.
        channels (int): D, of the output.
        num_blocks (int): Transformer blocks.
        window (tuple[int, int, int]): Frames, rows and columns of a window.
        num_heads (int): Attention heads; divides D.
        conv_groups (int): Groups of the convolution.
        with_cp (bool): Whether to checkpoint in training.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_blocks: int,
        window: Size,
        num_heads: int,
        conv_groups: int = 1,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, padding=1, groups=conv_groups)
        self.norm_in = nn.LayerNorm(channels)
        self.blocks = Sequential(
            *(
                TransformerBlock(channels, window, num_heads, with_cp)
                for _ in range(num_blocks)
            )
        )
        self.norm_out = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, T, C_in, H, W) to (N, T, D, H, W)."""
        feature = per_frame(self.conv, x).movedim(2, -1)
        feature = self.norm_out(self.blocks(self.norm_in(feature)))
        return feature.movedim(-1, 2).contiguous()


class TransformerBlock(LeanModule):
    """Two transformer layers, the second on shifted windows, a linear map and a skip.

    Args:
        channels (int): D.
        window (tuple[int, int, int]): See :class:`ResidualFeatureBlock`.
        num_heads (int): See :class:`ResidualFeatureBlock`.
        with_cp (bool): Whether to checkpoint in training.
    """

    def __init__(
        self, channels: int, window: Size, num_heads: int, with_cp: bool = False
    ) -> None:
        super().__init__(with_cp)
        self.layers = Sequential(
            *(
                TransformerLayer(channels, window, num_heads, is_shifted)
                for is_shifted in (False, True)
            )
        )
        self.linear = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, T, H, W, D) to the same."""
        return x + self.run_checkpointed(self._refine, x)

    def _refine(self, x: Tensor) -> Tensor:
        return self.linear(self.layers(x))


class TransformerLayer(BaseModule):
    """Attention within windows and two linear maps, each after a norm, with skips.

    Args:
        channels (int): D.
        window (tuple[int, int, int]): See :class:`ResidualFeatureBlock`.
        num_heads (int): See :class:`ResidualFeatureBlock`.
        is_shifted (bool): Whether windows begin half a window further on.
    """

    EXPANSION = 2
    """Ratio of hidden to other channels of the linear maps."""

    def __init__(
        self, channels: int, window: Size, num_heads: int, is_shifted: bool
    ) -> None:
        super().__init__()
        self.window = window
        self.is_shifted = is_shifted
        self.attention_norm = nn.LayerNorm(channels)
        self.attention = WindowAttention(channels, window, num_heads)
        self.mlp_norm = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, self.EXPANSION * channels),
            nn.GELU(),
            nn.Linear(self.EXPANSION * channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, T, H, W, D) to the same."""
        x = x + self._attend(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))

    def _attend(self, x: Tensor) -> Tensor:
        """Attend within windows; pixels that fill up the last ones are zeros."""
        size = x.shape[1:4]
        # Along a dimension that fits into a window there is one window, not shifted.
        window = tuple(map(min, size, self.window))
        shift = tuple(
            w // 2 if self.is_shifted and n > w else 0
            for n, w in zip(size, self.window, strict=True)
        )
        missing = [-n % w for n, w in zip(size, window, strict=True)]
        padding = [amount for n in reversed(missing) for amount in (0, n)]
        padded = F.pad(x, (0, 0, *padding))
        regions = None
        if any(shift):
            regions = _split_windows(_regions(padded, window, shift), window)
            regions = regions.squeeze(-1).repeat(len(x), 1)
            padded = padded.roll([-s for s in shift], (1, 2, 3))
        windows = self.attention(_split_windows(padded, window), window, regions)
        attended = _join_windows(windows, window, padded.shape)
        if any(shift):
            attended = attended.roll(shift, (1, 2, 3))
        frames, rows, columns = size
        return attended[:, :frames, :rows, :columns]


class WindowAttention(BaseModule):
    """Attention of all pixels of a window to each other.

    Args:
        channels (int): D.
        window (tuple[int, int, int]): Of the largest windows.
        num_heads (int): Divides D.
    """

    def __init__(self, channels: int, window: Size, num_heads: int) -> None:
        super().__init__()
        self.window = window
        self.num_heads = num_heads
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.project = nn.Linear(channels, channels)
        # Of each relative position, frames first.
        positions = prod(2 * n - 1 for n in window)
        self.position_bias = nn.Parameter(torch.zeros(positions, num_heads))

    def forward(self, x: Tensor, window: Size, regions: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            x (Tensor): Pixels of windows, (B, L, D), in the order of frames, rows and
                columns.
            window (tuple[int, int, int]): Size of the windows, L pixels.
            regions (Tensor, optional): Numbers of regions, (B, L); pixels of different
                regions do not attend to each other.

        Returns:
            Tensor: (B, L, D).
        """
        bias = self._bias(window, x.device)
        parts = []
        for begin in range(0, len(x), WINDOWS_AT_ONCE):
            part = slice(begin, begin + WINDOWS_AT_ONCE)
            mask = bias
            if regions is not None:
                region = regions[part].unsqueeze(1)
                mask = bias + MASKED * (region.unsqueeze(3) != region.unsqueeze(2))
            parts.append(self._attend(x[part], mask))
        return torch.cat(parts)

    def _attend(self, x: Tensor, mask: Tensor) -> Tensor:
        qkv = self.query_key_value(x).unflatten(2, (3, self.num_heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        logits = (query * query.size(-1) ** -0.5) @ key.mT + mask
        attended = logits.softmax(dim=-1).to(value.dtype) @ value
        return self.project(attended.transpose(1, 2).flatten(2))

    def _bias(self, window: Size, device: torch.device) -> Tensor:
        """Biases of all pairs of pixels of a window, (heads, L, L)."""
        ranges = [torch.arange(n, device=device) for n in window]
        places = torch.stack(torch.meshgrid(*ranges, indexing='ij')).flatten(1)
        index = 0
        for place, largest in zip(places, self.window, strict=True):
            relative = place.unsqueeze(1) - place + largest - 1
            index = index * (2 * largest - 1) + relative
        return self.position_bias[index].permute(2, 0, 1)


def _split_windows(x: Tensor, window: Size) -> Tensor:
    """(N, T, H, W, D) -> (B, L, D), windows in the order of frames, rows, columns."""
    for dim, size in zip((1, 3, 5), window, strict=True):
        x = x.unflatten(dim, (-1, size))
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(4, 6).flatten(0, 3)


def _join_windows(windows: Tensor, window: Size, shape: Sequence[int]) -> Tensor:
    """The reverse of :func:`_split_windows`; ``shape`` is that of the result."""
    counts = [n // w for n, w in zip(shape[1:4], window, strict=True)]
    x = windows.reshape(shape[0], *counts, *window, -1)
    return x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(shape)


def _regions(padded: Tensor, window: Size, shift: Size) -> Tensor:
    """Numbers of the regions that a shift moves apart, (1, T, H, W, 1).

    Along each dimension these are the places before the last window, those of the last
    window that stay, and those that come from the other end.
    """
    numbers = 0
    for dim, (w, s) in enumerate(zip(window, shift, strict=True), start=1):
        place = torch.arange(padded.size(dim), device=padded.device)
        number = (place >= len(place) - w).long()
        if s > 0:
            number += place >= len(place) - s
        shape = [1] * padded.dim()
        shape[dim] = -1
        numbers = 3 * numbers + number.view(shape)
    return numbers
