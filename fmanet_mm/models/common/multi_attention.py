"""Multi-attention: centre-oriented (CO) and degradation-aware (DA).

Section 3.3 of the paper; the attention is transposed, over channels, after
Restormer's MDTA, and the feed-forward network is Restormer's GDFN
(arXiv 2111.09881).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...ops import WHOLE_FRAMES, Strips
from ...ops.channel_products import channel_products
from ...ops.precision import raised_precision
from ...ops.strips import Strip
from .layers import LeanModule, build_part

LEAST_LENGTH = 1e-12
"""Least length that a query or key is divided by."""


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
        """Attend to ``feature`` with queries from ``guide``, each (N, C, H, W)."""
        return self.mix(feature, self.mixing(feature, guide))

    def mixing(
        self,
        feature: Tensor,
        guide: Tensor,
        norm: Callable[[Tensor], Tensor] = nn.Identity(),  # noqa: B008
        strips: Strips = WHOLE_FRAMES,
    ) -> Tensor:
        """Attention and output projection as one matrix over the channels.

        The attention only needs sums over all pixels, which add up strip by strip.

        Args:
            feature (Tensor): (N, C, H, W).
            guide (Tensor): (N, C, H, W).
            norm (Callable): Applied to the feature first.
            strips (Strips): How the frame is cut.

        Returns:
            Tensor: (N, C, C), output channel by value channel.
        """
        sums = [
            self._pixel_sums(strip, feature, guide, norm)
            for strip in strips.split(feature.size(-2), halo=1)
        ]
        products, queries, keys = (sum(parts) for parts in zip(*sums, strict=True))
        return channel_mixing(
            products,
            queries.unflatten(1, (self.num_heads, -1)),
            keys.unflatten(1, (self.num_heads, -1)),
            self.temperature,
            self.project_out.weight.flatten(1),
        )

    def mix(self, feature: Tensor, mixing: Tensor) -> Tensor:
        """Mix the values of ``feature`` (N, C, H, W) by :meth:`mixing`."""
        value = self._key_value(feature, slice(feature.size(1), None))
        pixels = value.permute(0, 2, 3, 1).flatten(1, 2)
        mixed = pixels @ mixing.to(pixels.dtype).mT
        return mixed.unflatten(1, value.shape[2:]).permute(0, 3, 1, 2)

    def _pixel_sums(
        self, strip: Strip, feature: Tensor, guide: Tensor, norm: Callable
    ) -> tuple[Tensor, ...]:
        """q k^T, (N, heads, C/heads, C/heads), and the squared lengths, (N, C)."""
        feature = norm(strip.read(feature))
        query = self.query_depthwise(self.query(strip.read(guide)))
        key = self._key_value(feature, slice(feature.size(1)))
        with raised_precision(strip.crop(query), strip.crop(key)) as (query, key):
            return channel_products(query, key, self.num_heads)

    def _key_value(self, feature: Tensor, part: slice) -> Tensor:
        return _conv_depthwise(
            feature, self.key_value.weight[part], self.key_value_depthwise.weight[part]
        )


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
        gate = F.gelu(self._hidden(x, 0))
        return self.project_out(gate.mul_(self._hidden(x, 1)))

    def _hidden(self, x: Tensor, half: int) -> Tensor:
        # Two convolutions, since chunking the result of one is slower.
        weights = self.project_in.weight, self.depthwise.weight
        return _conv_depthwise(x, *(weight.chunk(2)[half] for weight in weights))


@MODELS.register_module()
class GuidedAttention(LeanModule):
    """Attention and feed-forward, each with a norm before it and a skip connection.

    Args:
        channels (int): C.
        num_heads (int): Attention heads.
        ffn_expansion (float): See :class:`GatedFeedForward`.
        norm_with_bias (bool): See :class:`ChannelLayerNorm`.
        with_cp (bool): Whether to checkpoint in training.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        ffn_expansion: float,
        norm_with_bias: bool,
        with_cp: bool = False,
    ) -> None:
        super().__init__(with_cp)
        self.attention_norm = ChannelLayerNorm(channels, norm_with_bias)
        self.attention = GuidedChannelAttention(channels, num_heads)
        self.ffn_norm = ChannelLayerNorm(channels, norm_with_bias)
        self.ffn = GatedFeedForward(channels, ffn_expansion)

    def forward(
        self, feature: Tensor, guide: Tensor, strips: Strips = WHOLE_FRAMES
    ) -> Tensor:
        """Refine ``feature`` with queries from ``guide``, each (N, C, H, W)."""
        mixing = self.run_checkpointed(
            lambda *inputs: self.attention.mixing(
                *inputs, norm=self.attention_norm, strips=strips
            ),
            feature,
            guide,
        )
        return self.run_local(
            lambda feature: self._refine(feature, mixing),
            feature,
            halo=2,
            strips=strips,
        )

    def _refine(self, feature: Tensor, mixing: Tensor) -> Tensor:
        mixed = self.attention.mix(self.attention_norm(feature), mixing)
        feature = feature + mixed
        return feature + self.ffn(self.ffn_norm(feature))


@MODELS.register_module()
class SelfAttention(GuidedAttention):
    """:class:`GuidedAttention` whose queries come from the normalised feature, too."""

    def forward(
        self, feature: Tensor, guide: Tensor, strips: Strips = WHOLE_FRAMES
    ) -> Tensor:
        """Refine ``feature`` (N, C, H, W); the guide is not used."""
        return super().forward(feature, self.attention_norm(feature), strips)


class MultiAttentionBlock(BaseModule):
    """Refines the warped feature by attention.

    Centre-oriented attention takes its queries from the centre frame; in NetR,
    degradation-aware attention then takes them from the degradation kernels.

    Args:
        channels (int): C.
        layers (dict[str, dict]): Configs of what refines the feature, such as
            :class:`GuidedAttention`, by its guide: ``centre`` and, in NetR,
            ``degradation``.
        with_cp (bool): Whether to checkpoint in training.
    """

    def __init__(
        self, channels: int, layers: dict[str, dict], with_cp: bool = False
    ) -> None:
        super().__init__()
        # Released weights know the layers by this name.
        self.halves = nn.ModuleDict(
            {
                guide: build_part(layer, channels=channels, with_cp=with_cp)
                for guide, layer in layers.items()
            }
        )

    def forward(
        self, feature: Tensor, strips: Strips = WHOLE_FRAMES, **guides: Tensor
    ) -> Tensor:
        """Refine the feature.

        Args:
            feature (Tensor): (N, C, H, W).
            strips (Strips): How the frame is cut.
            guides (Tensor): ``centre`` and, if degradation-aware, ``degradation``,
                each (N, C, H, W).

        Returns:
            Tensor: (N, C, H, W).
        """
        for guide, layer in self.halves.items():
            feature = layer(feature, guides[guide], strips)
        return feature


def channel_mixing(
    products: Tensor,
    queries: Tensor,
    keys: Tensor,
    temperature: Tensor,
    project_out: Tensor,
) -> Tensor:
    """Attention and output projection as one matrix over the channels.

    Args:
        products (Tensor): q k^T of every head, (N, heads, C/heads, C/heads).
        queries (Tensor): Squared lengths of the query's channels, (N, heads, C/heads).
        keys (Tensor): Of the key's, likewise.
        temperature (Tensor): Factor of every head's logits, (heads, 1, 1).
        project_out (Tensor): Weight of the output projection, (C, C).

    Returns:
        Tensor: (N, C, C), output channel by value channel, at least float32.
    """
    with raised_precision(products, project_out) as (products, project):
        lengths = [
            squares.clamp_min(LEAST_LENGTH**2).sqrt() for squares in (queries, keys)
        ]
        logits = products / (lengths[0].unsqueeze(3) * lengths[1].unsqueeze(2))
        attention = (logits * temperature).softmax(dim=-1)
        project = project.unflatten(1, (temperature.size(0), -1))
        return torch.einsum('ohi,nhij->nohj', project, attention).flatten(2)


def _depthwise(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)


def _conv_depthwise(x: Tensor, weight: Tensor, depthwise: Tensor) -> Tensor:
    """A 1x1 convolution and a depth-wise one of 3x3."""
    hidden = F.conv2d(x, weight)
    return F.conv2d(hidden, depthwise, padding=1, groups=hidden.size(1))
