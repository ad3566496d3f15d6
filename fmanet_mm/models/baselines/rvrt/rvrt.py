"""RVRT, written from a description of its layers; no code of its authors."""

from collections.abc import Sequence
from itertools import pairwise
from os import PathLike

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn

from ....ops import flow_warp
from ...common.layers import per_frame
from ...common.spynet import SPyNet
from .alignment import GuidedDeformableAttention
from .swin import ResidualFeatureBlock

DIRECTIONS = ('backward', 'forward', 'backward', 'forward')
"""Of the branches, each of which reads all before it."""

WINDOW = 8
"""Rows and columns of the attention's windows."""

TAIL_CHANNELS = 64
"""Channels of the features that are upsampled."""


@MODELS.register_module()
class RVRT(BaseModule):
    """Restore all frames of a clip by recurrent transformers on clips of two frames.

    Features of two frames at a time are propagated through the clip, twice backward and
    twice forward; guided deformable attention aligns those of the previous two frames.
    With 192 channels and 3 groups it has 12,909,223 parameters, which are the 12.9 M of
    RVRT* in FMA-Net's Table 1; the paper does not describe its variant. Those of RVRT's
    paper for x4 are 144 channels and 1 group.

    All features of a clip are in memory at once. Frames are never cut into strips: flow
    may point to any row.

    Args:
        channels (int): D; a multiple of 6 and of ``conv_groups``.
        num_heads (int): Heads of the attention in windows; divides D.
        conv_groups (int): Groups of the convolutions that fuse the branches.
        with_cp (bool): Whether to checkpoint in training, which needs far less memory.
        spynet_pretrained (str | PathLike, optional): Weights of
            :class:`~fmanet_mm.models.common.spynet.SPyNet`.

    Raises:
        ValueError: If the numbers of channels, heads and groups do not fit together.
    """

    scale = 4

    def __init__(
        self,
        channels: int = 192,
        num_heads: int = 6,
        conv_groups: int = 3,
        with_cp: bool = False,
        spynet_pretrained: str | PathLike | None = None,
    ) -> None:
        super().__init__()
        for name, divisor in (('num_heads', num_heads), ('conv_groups', conv_groups)):
            if channels % divisor:
                raise ValueError(
                    f'{name} must divide the {channels} channels, got {divisor}'
                )
        common = dict(channels=channels, num_heads=num_heads, with_cp=with_cp)
        per_frame_window = 1, WINDOW, WINDOW
        self.spynet = SPyNet(spynet_pretrained)
        self.embedding = ResidualFeatureBlock(
            3, num_blocks=1, window=per_frame_window, **common
        )
        self.branches = ModuleList(
            Branch(direction, 2 + index, conv_groups=conv_groups, **common)
            for index, direction in enumerate(DIRECTIONS)
        )
        self.fusion = ResidualFeatureBlock(
            (1 + len(DIRECTIONS)) * channels,
            num_blocks=1,
            window=per_frame_window,
            conv_groups=conv_groups,
            **common,
        )
        layers = [nn.Conv2d(channels, TAIL_CHANNELS, 1), _activation()]
        for _ in range(2):
            layers += [_conv(4 * TAIL_CHANNELS), nn.PixelShuffle(2), _activation()]
        self.tail = nn.Sequential(*layers, _conv(TAIL_CHANNELS), _conv(3))

    def forward(self, frames: Tensor) -> Tensor:
        """Restore a clip.

        Args:
            frames (Tensor): (N, T, 3, H, W), RGB in [0, 1]. If T is odd, the last frame
                is repeated while it is computed.

        Returns:
            Tensor: (N, T, 3, 4H, 4W).
        """
        length = frames.size(1)
        if length % 2:
            frames = torch.cat((frames, frames[:, -1:]), dim=1)
        clips = frames.unflatten(1, (-1, 2)).unbind(1)
        features = [[self.embedding(clip) for clip in clips]]
        flows = {
            'forward': self._find_flows(frames),
            'backward': self._find_flows(frames.flip(1)),
        }
        for branch in self.branches:
            feature, flows[branch.direction] = branch(features, flows[branch.direction])
            features.append(feature)
        restored = [
            self._reconstruct(clip, parts)
            for clip, *parts in zip(clips, *features, strict=True)
        ]
        return torch.cat(restored, dim=1)[:, :length]

    def _find_flows(self, frames: Tensor) -> list[Tensor]:
        """For each clip but the first, the flows to the clip before it.

        Args:
            frames (Tensor): (N, T, 3, H, W), in the direction of a branch.

        Returns:
            list[Tensor]: See :class:`GuidedDeformableAttention`.
        """
        flows = [
            self.spynet(later, earlier) for earlier, later in pairwise(frames.unbind(1))
        ]
        found = []
        # Between frames 0 and 1 of the previous clip and 2 and 3 of the current one.
        for first in range(0, len(flows) - 2, 2):
            to_0_from_1, to_1_from_2, to_2_from_3 = flows[first : first + 3]
            to_0_from_2 = _chain(to_1_from_2, to_0_from_1)
            to_1_from_3 = _chain(to_2_from_3, to_1_from_2)
            to_0_from_3 = _chain(to_2_from_3, to_0_from_2)
            of_frame_2 = torch.stack((to_0_from_2, to_1_from_2), dim=1)
            of_frame_3 = torch.stack((to_1_from_3, to_0_from_3), dim=1)
            found.append(torch.stack((of_frame_2, of_frame_3), dim=1))
        return found

    def _reconstruct(self, clip: Tensor, features: Sequence[Tensor]) -> Tensor:
        feature = self.fusion(torch.cat(tuple(features), dim=2))
        upsampled = F.interpolate(
            clip.flatten(0, 1),
            scale_factor=self.scale,
            mode='bilinear',
            align_corners=False,
        )
        return per_frame(self.tail, feature) + upsampled.unflatten(0, clip.shape[:2])


class Branch(BaseModule):
    """Propagates a feature through a clip, two frames at a time.

    Args:
        direction (str): ``'forward'`` or ``'backward'``.
        num_features (int): Features that are read: those of the frames, those of all
            branches before, and the propagated one.
        channels (int): D, of each.
        num_heads (int): See :class:`RVRT`.
        conv_groups (int): See :class:`RVRT`.
        with_cp (bool): See :class:`RVRT`.
    """

    def __init__(
        self,
        direction: str,
        num_features: int,
        channels: int,
        num_heads: int,
        conv_groups: int,
        with_cp: bool,
    ) -> None:
        super().__init__()
        self.direction = direction
        self.alignment = GuidedDeformableAttention(channels, with_cp)
        self.block = ResidualFeatureBlock(
            num_features * channels,
            channels,
            num_blocks=2,
            window=(2, WINDOW, WINDOW),
            num_heads=num_heads,
            conv_groups=conv_groups,
            with_cp=with_cp,
        )

    def forward(
        self, features: Sequence[Sequence[Tensor]], flows: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Propagate.

        Args:
            features (Sequence[Sequence[Tensor]]): Of the frames and of each branch
                before, for each clip of two frames in order of time, (N, 2, D, H, W).
            flows (Sequence[Tensor]): Of all clips but the first, in the direction of
                the branch; see :class:`GuidedDeformableAttention`.

        Returns:
            tuple[list[Tensor], list[Tensor]]: The propagated feature of each clip, in
            order of time, and the flows that the alignment has refined.
        """
        order = range(len(features[0]))
        if self.direction == 'backward':
            order = order[::-1]
        outputs, refined, previous = {}, [], None
        for index in order:
            current = [self._in_direction(feature[index]) for feature in features]
            if previous is None:
                aligned = torch.zeros_like(current[0])
            else:
                key, propagated = previous
                aligned, flow = self.alignment(
                    current[-1], key, propagated, flows[len(refined)]
                )
                refined.append(flow)
            propagated = aligned + self.block(torch.cat((*current, aligned), dim=2))
            previous = current[-1], propagated
            outputs[index] = self._in_direction(propagated)
        return [outputs[index] for index in sorted(outputs)], refined

    def _in_direction(self, clip: Tensor) -> Tensor:
        """Reverse the two frames of a clip if the branch goes backward."""
        return clip.flip(1) if self.direction == 'backward' else clip


def _chain(flow: Tensor, further: Tensor) -> Tensor:
    """The flow from where ``flow`` begins to where ``further`` ends."""
    return flow + flow_warp(further, flow)


def _conv(out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(TAIL_CHANNELS, out_channels, 3, padding=1)


def _activation() -> nn.Module:
    return nn.LeakyReLU(0.1, inplace=True)
