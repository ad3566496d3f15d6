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

from ...ops import WHOLE_FRAMES, Strips, trained
from ...ops.channel_products import ChannelCosines, channel_products, cosines
from ...ops.precision import raised_precision
from ...ops.strips import Strip
from .layers import LeanModule, build_part
from .wide_convs import WideConv2d, narrow, widen


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
        if trained.has_kernels(x):
            return trained.channel_norm(x, self.weight, self.bias, self.eps)
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
        self.query = WideConv2d(channels, channels, 1)
        self.query_depthwise = _depthwise(channels)
        self.key_value = WideConv2d(channels, 2 * channels, 1, parts=2)
        self.key_value_depthwise = _depthwise(2 * channels, parts=2)
        self.project_out = WideConv2d(channels, channels, 1, casts=False)

    def forward(self, feature: Tensor, guide: Tensor) -> Tensor:
        """Attend to ``feature`` with queries from ``guide``, each (N, C, H, W)."""
        query = self.query_depthwise(self.query(guide))
        hidden = self.key_value_depthwise(self.key_value(feature))
        key, value = hidden.chunk(2, dim=1)
        width, project = feature.size(1), self.project_out.weight.flatten(1)
        if trained.has_mixing_kernels(query, project.size(0) // self.num_heads):
            mixing = trained.mixing(query, key, self.temperature, project)
            return narrow(_mix(value, mixing), width)
        query, key, value = (narrow(x, project.size(0)) for x in (query, key, value))
        similarities = ChannelCosines.apply(query, key, self.num_heads)
        mixing = attend(similarities, self.temperature, project)
        return widen(_mix(value, mixing), width)

    def mixing(
        self,
        feature: Tensor,
        guide: Tensor,
        norm: Callable[[Tensor], Tensor] = nn.Identity(),  # noqa: B008
        strips: Strips = WHOLE_FRAMES,
    ) -> Tensor:
        """Attention and output projection as one matrix over the channels.

        The attention only needs sums over all pixels, which add up strip by strip. It
        is for frames that are restored: training needs no strips.

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
        return _mix(self._key_value(feature, slice(feature.size(1), None)), mixing)

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
        self.project_in = WideConv2d(channels, 2 * hidden, 1, parts=2)
        self.depthwise = _depthwise(2 * hidden, parts=2)
        self.project_out = WideConv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        if torch.is_grad_enabled():
            return self._train(x)
        gate = F.gelu(self._hidden(x, 0))
        return self.project_out(gate.mul_(self._hidden(x, 1)))

    def _train(self, x: Tensor) -> Tensor:
        hidden = self.depthwise(self.project_in(x))
        if trained.has_kernels(hidden):
            out = trained.gated_conv(hidden, self.project_out.weight)
        else:
            gate, value = hidden.chunk(2, dim=1)
            out = self.project_out(F.gelu(gate) * value)
        return narrow(out, x.size(1))

    def _hidden(self, x: Tensor, half: int) -> Tensor:
        # Two convolutions, since chunking the result of one is slower on a CPU.
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
        if torch.is_grad_enabled():
            return self.run_checkpointed(self._refine_frames, feature, guide)
        mixing = self.attention.mixing(
            feature, guide, norm=self.attention_norm, strips=strips
        )
        return strips.map(
            lambda feature: self._refine_rows(feature, mixing), feature, halo=2
        )

    @property
    def width(self) -> int:
        """Channels of a feature that no convolution has to widen, C or more."""
        return self.ffn.project_out.weight.size(0)

    def _refine_frames(self, feature: Tensor, guide: Tensor) -> Tensor:
        attended = self.attention(self.attention_norm(feature), guide)
        return self._feed_forward(feature + attended)

    def _refine_rows(self, feature: Tensor, mixing: Tensor) -> Tensor:
        mixed = self.attention.mix(self.attention_norm(feature), mixing)
        return self._feed_forward(feature + mixed)

    def _feed_forward(self, feature: Tensor) -> Tensor:
        return feature + self.ffn(self.ffn_norm(feature))


@MODELS.register_module()
class SelfAttention(GuidedAttention):
    """:class:`GuidedAttention` whose queries come from the normalised feature, too."""

    def forward(
        self, feature: Tensor, guide: Tensor, strips: Strips = WHOLE_FRAMES
    ) -> Tensor:
        """Refine ``feature`` (N, C, H, W); the guide is not used."""
        if torch.is_grad_enabled():
            return self.run_checkpointed(self._refine_itself, feature)
        return super().forward(feature, self.attention_norm(feature), strips)

    def _refine_itself(self, feature: Tensor) -> Tensor:
        normalised = self.attention_norm(feature)
        return self._feed_forward(feature + self.attention(normalised, normalised))


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

    @property
    def width(self) -> int:
        """Channels of features that no layer has to widen; 0 if there is none."""
        return min(getattr(layer, 'width', 0) for layer in self.halves.values())


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
    with raised_precision(products, queries, keys) as sums:
        similarities, _, _ = cosines(*sums)
    return attend(similarities, temperature, project_out)


def attend(similarities: Tensor, temperature: Tensor, project_out: Tensor) -> Tensor:
    """:func:`channel_mixing` of the cosines between queries and keys.

    Args:
        similarities (Tensor): (N, heads, C/heads, C/heads).
        temperature (Tensor): Factor of every head's logits, (heads, 1, 1).
        project_out (Tensor): Weight of the output projection, (C, C).
    """
    with raised_precision(similarities, project_out) as (similarities, project):
        attention = (similarities * temperature).softmax(dim=-1)
        project = project.unflatten(1, (temperature.size(0), -1))
        return torch.einsum('ohi,nhij->nohj', project, attention).flatten(2)


def _mix(value: Tensor, mixing: Tensor) -> Tensor:
    """Multiply the channels of (N, C, H, W) by matrices, (N, C, C)."""
    pixels = value.permute(0, 2, 3, 1).flatten(1, 2)
    mixed = pixels @ mixing.to(pixels.dtype).mT
    return mixed.unflatten(1, value.shape[2:]).permute(0, 3, 1, 2)


def _depthwise(channels: int, parts: int = 1) -> WideConv2d:
    return WideConv2d(channels, channels, 3, groups=channels, parts=parts)


def _conv_depthwise(x: Tensor, weight: Tensor, depthwise: Tensor) -> Tensor:
    """A 1x1 convolution and a depth-wise one of 3x3."""
    hidden = F.conv2d(x, weight)
    return F.conv2d(hidden, depthwise, padding=1, groups=hidden.size(1))
