"""Multi-attention: centre-oriented (CO) and degradation-aware (DA).

Section 3.3 of the paper; the attention is transposed, over channels, after
Restormer's MDTA, and the feed-forward network is Restormer's GDFN
(arXiv 2111.09881).
"""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..ops.precision import full_precision


class ChannelLayerNorm(BaseModule):
    """Layer normalisation over the channels of every pixel.

    Args:
        channels (int): C.
        with_bias (bool): Whether to centre the channels and learn an offset. The
            bias-free variant divides by the standard deviation only.
        eps (float): Added to the (biased) variance.
    """

    def __init__(self, channels: int, with_bias: bool = True, eps: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if with_bias else None
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W)."""
        x = x.permute(0, 2, 3, 1)
        if self.bias is None:
            variance = x.var(-1, unbiased=False, keepdim=True)
            x = x * torch.rsqrt(variance + self.eps) * self.weight
        else:
            x = F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class GuidedChannelAttention(BaseModule):
    """Attention over channels; queries from a guide, keys and values from a feature.

    Args:
        channels (int): Channels of guide and feature, C.
        num_heads (int): Heads; divides C.
    """

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.query = nn.Conv2d(channels, channels, 1, bias=False)
        self.query_depthwise = _depthwise(channels)
        self.key_value = nn.Conv2d(channels, 2 * channels, 1, bias=False)
        self.key_value_depthwise = _depthwise(2 * channels)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, feature: Tensor, guide: Tensor) -> Tensor:
        """Attend to ``feature`` (N, C, H, W) as ``guide`` (N, C, H, W) asks."""
        query = self.query_depthwise(self.query(guide))
        key, value = self.key_value_depthwise(self.key_value(feature)).chunk(2, dim=1)
        attention = self._attention(query, key)
        out = attention.to(value.dtype) @ self._split_heads(value)
        return self.project_out(out.flatten(1, 2).unflatten(2, feature.shape[-2:]))

    def _attention(self, query: Tensor, key: Tensor) -> Tensor:
        """softmax(q k^T * temperature), (N, heads, C/heads, C/heads)."""
        with full_precision(query, key) as (query, key):
            query = F.normalize(self._split_heads(query), dim=-1)
            key = F.normalize(self._split_heads(key), dim=-1)
            logits = query @ key.transpose(-2, -1) * self.temperature
            return logits.softmax(dim=-1)

    def _split_heads(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, heads, C/heads, H*W)."""
        return x.flatten(2).unflatten(1, (self.num_heads, -1))


class GatedFeedForward(BaseModule):
    """1x1, depth-wise 3x3, GELU gate, 1x1.

    Args:
        channels (int): C.
        expansion (float): Hidden channels are ``int(C * expansion)``.
    """

    def __init__(self, channels: int, expansion: float) -> None:
        super().__init__()
        hidden = int(channels * expansion)
        self.project_in = nn.Conv2d(channels, 2 * hidden, 1, bias=False)
        self.depthwise = _depthwise(2 * hidden)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        gate, value = self.depthwise(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(F.gelu(gate) * value)


class MultiAttentionBlock(BaseModule):
    """Attention and feed-forward, each normalised before and added after.

    Centre-oriented attention asks what of the warped feature fits the centre frame;
    in NetR, degradation-aware attention then asks what the degradation kernels say.

    Args:
        channels (int): C.
        num_heads (int): Attention heads.
        ffn_expansion (float): See :class:`GatedFeedForward`.
        norm_with_bias (bool): See :class:`ChannelLayerNorm`.
        degradation_aware (bool): Whether the second half exists.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        ffn_expansion: float,
        norm_with_bias: bool,
        degradation_aware: bool,
    ) -> None:
        super().__init__()
        guides = ('centre', 'degradation') if degradation_aware else ('centre',)
        self.halves = nn.ModuleDict(
            {
                guide: nn.ModuleDict(
                    dict(
                        attention_norm=ChannelLayerNorm(channels, norm_with_bias),
                        attention=GuidedChannelAttention(channels, num_heads),
                        ffn_norm=ChannelLayerNorm(channels, norm_with_bias),
                        ffn=GatedFeedForward(channels, ffn_expansion),
                    )
                )
                for guide in guides
            }
        )

    def forward(self, feature: Tensor, **guides: Tensor) -> Tensor:
        """Refine the feature.

        Args:
            feature (Tensor): (N, C, H, W).
            guides (Tensor): ``centre`` and, if degradation-aware, ``degradation``,
                each (N, C, H, W).

        Returns:
            Tensor: (N, C, H, W).
        """
        for name, half in self.halves.items():
            normed = half['attention_norm'](feature)
            feature = feature + half['attention'](normed, guides[name])
            feature = feature + half['ffn'](half['ffn_norm'](feature))
        return feature


def _depthwise(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
