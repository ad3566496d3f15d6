"""The common base of the two networks: a feature extractor and M HRBA blocks."""

import torch
from torch import Tensor, nn

from ...ops import WHOLE_FRAMES, Strips
from ..common.layers import LeanModule, channels_last, check_sizes
from ..common.rdb import FeatureExtractor
from .hrba import HRBABlock
from .kernel_embedding import FactoredKernels

ENDS = ('replicate', 'zero')
"""What the neighbour beyond an end of a clip is: the frame itself, or zero."""

TEMPORAL = ('hierarchical', 'recurrent', 'window')
"""How frames get to know each other, see :class:`SequenceNet`."""


class SequenceNet(LeanModule):
    """Features of single frames, refined level by level by those of the neighbours.

    Args:
        in_channels (int): Channels of what is encoded.
        channels (int): Channels of the features, C. Must divide by ``num_flows`` and
            ``num_heads``.
        scale (int): Ratio of HR to LR size, s: 1, 2, 3 or 4.
        num_flows (int): Flow-mask pairs towards each neighbour, n.
        num_blocks (int): HRBA blocks, M.
        num_attention_blocks (int): Multi-attention blocks in each.
        num_heads (int): Attention heads.
        ffn_expansion (float): Expansion of the feed-forward networks.
        norm_with_bias (bool): LayerNorm with (True) or without bias.
        num_rdbs (int): Residual dense blocks of the feature extractor.
        growth_channels (int): Channels that a dense layer adds.
        num_dense_layers (int): Dense layers of a residual dense block.
        fusion_kernel_size (int): Of the convolution that fuses the neighbours; odd.
        exposure_channels (int, optional): Length of the exposure vectors, d_u; None:
            features are not modulated by exposure.
        modulation_channels (int): Hidden channels of that modulation.
        ends (str): One of :data:`ENDS`.
        temporal (str): ``'hierarchical'`` is HRBA. ``'recurrent'`` is for comparison:
            of the two neighbours, one has passed the level already; it is the previous
            one on even levels, the following one on odd levels. ``'window'`` is
            hierarchical, for models that restore every frame from three.
        alignment (dict, optional): What to align frames with instead of
            :class:`MultiFlowWarp`.
        self_attention (dict, optional): What to refine with instead of attention within
            the frame, ``dict(type='SelfAttention')``.
        degradation_attention (dict, optional): Refinement guided by the degradation
            kernels (NetR).
        kernel_embedding (dict, optional): Embedding of the degradation kernels (NetR).
        flow_is_read (bool): Whether anything reads the flow-mask pairs of the last
            block; if not (NetR), it leaves them as they are.
        with_cp (bool): Whether to checkpoint in training: keep little more than the
            features and compute the rest again for the gradients.
        init_cfg (dict, optional): Initialisation config.

    Raises:
        ValueError: If a rule above is violated.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: int = 90,
        scale: int = 4,
        num_flows: int = 9,
        num_blocks: int = 4,
        num_attention_blocks: int = 3,
        num_heads: int = 6,
        ffn_expansion: float = 2.66,
        norm_with_bias: bool = True,
        num_rdbs: int = 5,
        growth_channels: int = 18,
        num_dense_layers: int = 4,
        fusion_kernel_size: int = 3,
        exposure_channels: int | None = None,
        modulation_channels: int = 64,
        ends: str = 'replicate',
        temporal: str = 'hierarchical',
        alignment: dict | None = None,
        self_attention: dict | None = None,
        degradation_attention: dict | None = None,
        kernel_embedding: dict | None = None,
        flow_is_read: bool = True,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(with_cp, init_cfg)
        check_sizes(channels, scale, num_flows=num_flows, num_heads=num_heads)
        if fusion_kernel_size % 2 == 0:
            raise ValueError(
                f'fusion_kernel_size must be odd, got {fusion_kernel_size}'
            )
        _check_choice('ends', ends, ENDS)
        _check_choice('temporal', temporal, TEMPORAL)
        self.channels = channels
        self.scale = scale
        self.num_flows = num_flows
        self.ends = ends
        self.temporal = temporal
        attention = dict(frame=self_attention or dict(type='SelfAttention'))
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
        modulation = None
        if exposure_channels is not None:
            modulation = dict(
                exposure_channels=exposure_channels, hidden_channels=modulation_channels
            )
        self.extractor = FeatureExtractor(
            in_channels, channels, num_rdbs, growth_channels, num_dense_layers, with_cp
        )
        self.blocks = nn.ModuleList(
            HRBABlock(
                channels,
                num_flows,
                num_attention_blocks,
                fusion_kernel_size,
                alignment or dict(type='MultiFlowWarp'),
                attention,
                modulation,
                kernel_embedding,
                updates_flow=flow_is_read or level < num_blocks - 1,
                with_cp=with_cp,
            )
            for level in range(num_blocks)
        )

    @property
    def num_levels(self) -> int:
        """HRBA blocks, M."""
        return len(self.blocks)

    def extract(self, inputs: Tensor, strips: Strips = WHOLE_FRAMES) -> Tensor:
        """Features of single frames, (N, C_in, H, W) -> (N, C, H, W)."""
        inputs = inputs.to(self.extractor.conv_first.weight.dtype)
        return self.extractor(channels_last(inputs), strips)

    def advance(
        self,
        level: int,
        feature: Tensor,
        flow_masks: Tensor,
        neighbours: tuple[Tensor, Tensor],
        exposure: Tensor | None,
        kernels: FactoredKernels | None = None,
        strips: Strips = WHOLE_FRAMES,
    ) -> tuple[Tensor, Tensor]:
        """Run one HRBA block on single frames.

        Args:
            level (int): Its number, from 0.
            feature (Tensor): Of each frame, (N, C, H, W).
            flow_masks (Tensor): See :class:`HRBABlock`, (N, 6n, H, W).
            neighbours (tuple[Tensor]): Features of the previous and of the following
                frame on this level, or :meth:`beyond_end`.
            exposure (Tensor, optional): (N, d_u).
            kernels (FactoredKernels, optional): Degradation kernels (NetR).
            strips (Strips): How the frames are cut.

        Returns:
            tuple[Tensor]: The new ``feature`` and ``flow_masks``.
        """
        return self.blocks[level](
            feature, flow_masks, neighbours, exposure, kernels, strips
        )

    def beyond_end(self, feature: Tensor) -> Tensor:
        """The neighbour beyond an end of a clip, of a frame with this feature."""
        return feature if self.ends == 'replicate' else torch.zeros_like(feature)

    def refine(
        self,
        feature: Tensor,
        flow_masks: Tensor,
        num_frames: int,
        exposure: Tensor | None,
        kernels: FactoredKernels | None = None,
        strips: Strips = WHOLE_FRAMES,
    ) -> tuple[Tensor, Tensor]:
        """Run all HRBA blocks on clips.

        Args:
            feature (Tensor): Of all frames, clip after clip, (N*T, C, H, W).
            flow_masks (Tensor): (N*T, 6n, H, W).
            num_frames (int): T.
            exposure (Tensor, optional): (N*T, d_u).
            kernels (FactoredKernels, optional): Degradation kernels (NetR).
            strips (Strips): How the frames are cut.

        Returns:
            tuple[Tensor]: The new ``feature`` and ``flow_masks``.
        """
        is_recurrent = self.temporal == 'recurrent'
        run = self._advance_in_turn if is_recurrent else self._advance_together
        for level in range(self.num_levels):
            feature, flow_masks = run(
                level, feature, flow_masks, num_frames, exposure, kernels, strips
            )
        return feature, flow_masks

    def _advance_together(
        self, level, feature, flow_masks, num_frames, exposure, kernels, strips
    ) -> tuple[Tensor, Tensor]:
        """All frames of all clips at once."""
        clips = feature.unflatten(0, (-1, num_frames))
        first, last = (self.beyond_end(x) for x in (clips[:, :1], clips[:, -1:]))
        previous = torch.cat((first, clips[:, :-1]), dim=1).flatten(0, 1)
        following = torch.cat((clips[:, 1:], last), dim=1).flatten(0, 1)
        return self.advance(
            level,
            feature,
            flow_masks,
            (channels_last(previous), channels_last(following)),
            exposure,
            kernels,
            strips,
        )

    def _advance_in_turn(
        self, level, feature, flow_masks, num_frames, exposure, kernels, strips
    ) -> tuple[Tensor, Tensor]:
        """Frame after frame, forwards on even levels, backwards on odd ones."""
        clips = feature.unflatten(0, (-1, num_frames)).unbind(1)
        features = [channels_last(x) for x in clips]
        flows = list(flow_masks.unflatten(0, (-1, num_frames)).unbind(1))
        order = range(num_frames)
        for index in order if level % 2 == 0 else reversed(order):
            own = features[index]
            beyond = self.beyond_end(own)
            # Those that come before in this order have been replaced already.
            neighbours = (
                features[index - 1] if index > 0 else beyond,
                features[index + 1] if index + 1 < num_frames else beyond,
            )
            of_frame = slice(index, None, num_frames)
            features[index], flows[index] = self.advance(
                level,
                own,
                flows[index],
                neighbours,
                None if exposure is None else exposure[of_frame],
                kernels and kernels._replace(feature=kernels.feature[of_frame]),
                strips,
            )
        return (
            channels_last(torch.stack(features, dim=1).flatten(0, 1)),
            torch.stack(flows, dim=1).flatten(0, 1),
        )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f'{name} must be one of {", ".join(choices)}, got {value!r}')
