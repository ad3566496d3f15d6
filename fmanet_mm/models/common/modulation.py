"""Spatial feature transform (SFT, arXiv 1804.02815)."""

from mmengine.registry import MODELS
from torch import Tensor, nn

from ...ops import WHOLE_FRAMES, Strips
from .layers import NEGATIVE_SLOPE, LeanModule
from .multi_attention import ChannelLayerNorm, GatedFeedForward


@MODELS.register_module()
class GuidedModulation(LeanModule):
    """Scale and shift every value by a guide, then a feed-forward network.

    Replaces a :class:`~fmanet_mm.models.common.multi_attention.GuidedAttention`: adds
    ``feature * scale + shift`` to the feature instead of what attention finds. Two 1x1
    convolutions each compute scale and shift from the guide.

    Args:
        channels (int): C, of feature and guide.
        ffn_expansion (float): See :class:`GatedFeedForward`.
        norm_with_bias (bool): See :class:`ChannelLayerNorm`.
        num_heads (int): Not used; attention's.
        with_cp (bool): Whether to checkpoint in training.
    """

    def __init__(
        self,
        channels: int,
        ffn_expansion: float,
        norm_with_bias: bool,
        num_heads: int,
        with_cp: bool = False,
    ) -> None:
        super().__init__(with_cp)
        self.scale = _pointwise_pair(channels)
        self.shift = _pointwise_pair(channels)
        self.ffn_norm = ChannelLayerNorm(channels, norm_with_bias)
        self.ffn = GatedFeedForward(channels, ffn_expansion)

    def forward(
        self, feature: Tensor, guide: Tensor, strips: Strips = WHOLE_FRAMES
    ) -> Tensor:
        """Refine ``feature`` by ``guide``, each (N, C, H, W)."""
        return self.run_local(self._refine, feature, guide, halo=1, strips=strips)

    def modulate(self, feature: Tensor, guide: Tensor) -> Tensor:
        """``feature * (1 + scale) + shift``."""
        return feature + feature * self.scale(guide) + self.shift(guide)

    def _refine(self, feature: Tensor, guide: Tensor) -> Tensor:
        feature = self.modulate(feature, guide)
        return feature + self.ffn(self.ffn_norm(feature))


def _pointwise_pair(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
        nn.Conv2d(channels, channels, 1, bias=False),
    )
