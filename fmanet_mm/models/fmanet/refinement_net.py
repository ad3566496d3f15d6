"""The common base of NetD and NetR: per-frame encoding, per-window refinement."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from ...ops import WHOLE_FRAMES, Strips
from ..common.layers import LeanModule, channels_last, check_sizes, conv_pair
from ..common.rdb import FeatureExtractor
from .frma import FRMABlock


class RefinementNet(LeanModule):
    """A feature extractor and M FRMA blocks.

    The features of all levels depend on one frame each, so a video needs a subclass'
    ``encode`` once a frame. Its ``refine`` computes from them what belongs to a window.

    Args:
        in_channels (int): Channels of what is encoded.
        channels (int): Channels of the features, C. Must divide by ``num_frames``,
            ``num_flows`` and ``num_heads``.
        num_frames (int): Frames of a window, T; odd.
        scale (int): Ratio of HR to LR size, s: 1, 2, 3 or 4.
        num_flows (int): Flow-mask pairs of the multi-flow warp, n.
        num_blocks (int): FRMA blocks, M.
        num_attention_blocks (int): Multi-attention blocks in each.
        num_heads (int): Attention heads.
        ffn_expansion (float): Expansion of the feed-forward networks.
        norm_with_bias (bool): LayerNorm with (True) or without bias.
        num_rdbs (int): Residual dense blocks of the feature extractor.
        growth_channels (int): Channels that a dense layer adds.
        num_dense_layers (int): Dense layers of a residual dense block.
        with_cp (bool): Whether to checkpoint in training: keep little more than the
            features and compute the rest again for the gradients.
        alignment (dict, optional): What to align frames with instead of
            :class:`MultiFlowWarp`, such as ``dict(type='DeformableAlignment')``.
        centre_attention (dict, optional): What to refine with instead of attention to
            the centre frame, such as ``dict(type='SelfAttention')``.
        is_first (bool): Whether this net is the first to estimate flow (NetD).
        degradation_attention (dict, optional): Refinement guided by the degradation
            kernels (NetR).
        init_cfg (dict, optional): Initialisation config.

    Raises:
        ValueError: If a rule above is violated.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: int = 90,
        num_frames: int = 3,
        scale: int = 4,
        num_flows: int = 9,
        num_blocks: int = 4,
        num_attention_blocks: int = 2,
        num_heads: int = 6,
        ffn_expansion: float = 2.66,
        norm_with_bias: bool = True,
        num_rdbs: int = 12,
        growth_channels: int = 18,
        num_dense_layers: int = 4,
        with_cp: bool = False,
        alignment: dict | None = None,
        centre_attention: dict | None = None,
        is_first: bool,
        degradation_attention: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(with_cp, init_cfg)
        if num_frames < 1 or num_frames % 2 == 0:
            raise ValueError(f'num_frames must be odd and positive, got {num_frames}')
        check_sizes(
            channels,
            scale,
            num_frames=num_frames,
            num_flows=num_flows,
            num_heads=num_heads,
        )
        self.channels = channels
        self.num_frames = num_frames
        self.scale = scale
        self.num_flows = num_flows
        rdb = dict(growth_channels=growth_channels, num_layers=num_dense_layers)
        attention = dict(centre=centre_attention or dict(type='GuidedAttention'))
        if degradation_attention:
            attention['degradation'] = degradation_attention
        attention = {
            guide: dict(
                num_heads=num_heads,
                ffn_expansion=ffn_expansion,
                norm_with_bias=norm_with_bias,
                **layer,
            )
            for guide, layer in attention.items()
        }
        self.extractor = FeatureExtractor(
            in_channels, channels, num_rdbs, **rdb, with_cp=with_cp
        )
        self.blocks = nn.ModuleList(
            FRMABlock(
                channels,
                num_frames,
                num_flows,
                num_attention_blocks,
                has_flow=not (is_first and i == 0),
                has_warped=i > 0,
                rdb=rdb,
                alignment=alignment or dict(type='MultiFlowWarp'),
                attention=attention,
                with_cp=with_cp,
            )
            for i in range(num_blocks)
        )
        self.anchor_head = conv_pair(channels, channels, 3)

    @property
    def num_levels(self) -> int:
        """Features of a frame, M + 1."""
        return len(self.blocks) + 1

    def _encode_levels(self, inputs: Tensor, strips: Strips) -> Iterator[Tensor]:
        """Yield the features of (N, C_in, H, W), initial one first, (N, C, H, W)."""
        inputs = inputs.to(self.extractor.conv_first.weight.dtype)
        feature = self.extractor(channels_last(inputs), strips)
        yield feature
        for block in self.blocks:
            feature = block.encode(feature, strips)
            yield feature

    def anchor(self, feature: Tensor) -> Tensor:
        """The temporal-anchor image of single frames (Eq. 10 of the paper).

        Args:
            feature (Tensor): Last of the features of ``encode``, (N, C, H, W).

        Returns:
            Tensor: (N, 3, H, W); training holds it to the sharp LR frame.
        """
        return self.run_checkpointed(self.anchor_head, channels_last(feature))

    def _refine_blocks(
        self,
        features: Iterable[Tensor],
        flow_masks: Tensor | None,
        kernels: Tensor | None = None,
        strips: Strips = WHOLE_FRAMES,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run all FRMA blocks over a window's features, each (N, T, C, H, W).

        Returns the flow-mask pairs, the warped feature and the last of the features.
        """
        features = map(channels_last, features)
        # A copy, for a view would keep the whole level.
        centre = next(features)[:, self.num_frames // 2].clone()
        warped = None
        for block in self.blocks:
            feature = None  # releases one level before the next is stacked
            feature = next(features)
            flow_masks, warped = block.refine(
                feature, centre, flow_masks, warped, kernels, strips
            )
        return flow_masks, warped, feature

    def _fold_frames(self, warped: Tensor) -> Tensor:
        """(N, C, H, W), channel-major, -> (N, T, C/T, H, W)."""
        return channels_last(warped.unflatten(1, (-1, self.num_frames)).transpose(1, 2))


def split_windows(features: Iterable[Tensor], num_frames: int) -> Iterator[Tensor]:
    """(N*T, C, H, W) -> (N, T, C, H, W) for every level."""
    return (feature.unflatten(0, (-1, num_frames)) for feature in features)


def stack_window(features: Sequence[Sequence[Tensor]]) -> Iterator[Tensor]:
    """Stack the features of single frames for ``refine``, level by level.

    Args:
        features (Sequence[Sequence[Tensor]]): Each frame's features of all levels,
            (N, C, H, W).

    Yields:
        Tensor: The window's features of a level, (N, T, C, H, W).
    """
    for level in zip(*features, strict=True):
        yield torch.stack([x.movedim(1, -1) for x in level], dim=1).movedim(-1, 2)
