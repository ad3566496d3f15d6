"""NetR, the restoration network."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, Sequential
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...ops import WHOLE_FRAMES, Strips, masked_warp
from ..common.layers import (
    TemporalConv,
    activate,
    build_part,
    compose_convs,
    conv_pair,
    per_frame,
    temporal_conv,
)
from ..common.wide_convs import WideConv2d, narrow
from .net_d import Degradation
from .refinement_net import RefinementNet, split_windows

_SHUFFLE_FACTORS = {1: (), 2: (2,), 3: (3,), 4: (2, 2)}

_HEAD_ROWS = 64
"""LR rows of which kernels and high-resolution features are held at a time."""


class Restoration(NamedTuple):
    """Restored centre frame of a window.

    Attributes:
        output (Tensor): Restored centre frame, (N, 3, sH, sW), about [0, 1].
        warped_frames (Tensor): Blurry LR frames pulled onto the centre and masked,
            (N, T, 3, H, W).
        feature (Tensor): Last per-frame features, (N, T, C, H, W).
    """

    output: Tensor
    warped_frames: Tensor
    feature: Tensor


class HighFrequencyHead(BaseModule):
    """Predicts the high-frequency image, upsampled by pixel shuffles.

    Args:
        channels (int): C.
        scale (int): 1, 2, 3 or 4; 4 takes two steps of 2.

    Attributes:
        halo (int): LR rows around its own that an output row depends on.
    """

    halo = 3

    def __init__(self, channels: int, scale: int) -> None:
        super().__init__()
        self.factors = _SHUFFLE_FACTORS[scale]
        self.conv_first = WideConv2d(channels, channels, 3)
        self.upsample_convs = nn.ModuleList(
            WideConv2d(channels, channels * factor**2, 3, unit=factor**2)
            for factor in self.factors
        )
        self.conv_hr = WideConv2d(channels, channels, 3)
        self.conv_last = WideConv2d(channels, 3, 3, widens=False)

    def forward(self, feature: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, 3, sH, sW)."""
        x = activate(self.conv_first(feature))
        for conv, factor in zip(self.upsample_convs, self.factors, strict=True):
            x = F.pixel_shuffle(activate(conv(x)), factor)
        return self.conv_last(activate(self.conv_hr(x)))


class KernelEmbedding(BaseModule):
    """Two 3x3x3 convolutions, k_d^2 -> C -> C channels, LeakyReLU between.

    Args:
        kernel_size (int): Degradation kernel size, k_d.
        channels (int): C.

    Attributes:
        halo (int): Rows around its own that an output row depends on.
    """

    halo = 2

    def __init__(self, kernel_size: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.conv_in = TemporalConv(kernel_size**2, channels)
        self.conv_out = TemporalConv(channels, channels)

    def forward(self, kernels: Tensor) -> Tensor:
        """Map (N, T, k_d^2, H, W) to (N, T, C, H, W)."""
        embedded = self.conv_out(activate(self.conv_in(kernels)))
        return per_frame(lambda x: narrow(x, self.channels), embedded)


class ComposedKernelEmbedding(BaseModule):
    """A :class:`KernelEmbedding` after NetD's kernel head, without large kernels.

    The last convolution of the head and the first one of the embedding are one of 5x5
    pixels, which for the published network takes less than half of the operations.
    Only at the frame's borders, where the kernels are padded with zeros, do the two
    differ; the borders are computed apart.

    Args:
        kernel_head (Sequential): conv3x3, LeakyReLU, conv3x3.
        embedding (KernelEmbedding): What follows.

    Attributes:
        halo (int): Rows around its own that an output row depends on.
    """

    halo = 4

    def __init__(self, kernel_head: Sequential, embedding: KernelEmbedding) -> None:
        super().__init__()
        self.kernel_head = kernel_head
        self.embedding = embedding
        conv_last, conv_in = kernel_head[-1], embedding.conv_in
        apart = conv_last.weight.numel() + conv_in.weight.numel()
        composed = embedding.channels * conv_last.in_channels * 3 * 5 * 5
        weight = None
        if composed < apart:
            weight = compose_convs(conv_last.weight, conv_in.weight)
        self.register_buffer('weight', weight)

    def forward(self, feature: Tensor) -> Tensor:
        """Map the head's input (N, T, C', H, W) to (N, T, C, H, W)."""
        if self.weight is None:
            return self.embedding(per_frame(self.kernel_head, feature))
        hidden = per_frame(self.kernel_head[:-1], feature)
        embedded = temporal_conv(hidden, self.weight.to(hidden.dtype))
        for dim in (-2, -1):
            self._correct_borders(hidden, embedded, dim)
        return self.embedding.conv_out(activate(embedded))

    def _correct_borders(self, hidden: Tensor, embedded: Tensor, dim: int) -> None:
        size = hidden.size(dim)
        width = min(size, 3)
        for begin, border in ((0, 0), (size - width, size - 1)):
            band = hidden.narrow(dim, begin, width)
            exact = self.embedding.conv_in(per_frame(self.kernel_head[-1], band))
            exact = exact.narrow(dim, border - begin, 1)
            embedded.narrow(dim, border, 1).copy_(exact)


@MODELS.register_module()
class NetR(RefinementNet):
    """Restores the centre frame, guided by the learned degradation (Section 3.5).

    Args:
        kernel_size (int): Restoration kernel size on the LR grid, k_r; odd.
        degradation_kernel_size (int): NetD's kernel size, k_d.
        upsampling (dict, optional): Filters instead of
            :class:`FlowGuidedDynamicUpsampling`, such as
            ``dict(type='DynamicUpsampling')``.
        degradation_attention (dict, optional): Refines instead of attention guided by
            the degradation, such as ``dict(type='GuidedModulation')``.
        **refinement: Arguments of :class:`RefinementNet`, from ``channels`` to
            ``num_dense_layers``, and ``init_cfg``.

    Raises:
        ValueError: If the values do not fit each other.
    """

    def __init__(
        self,
        kernel_size: int = 5,
        degradation_kernel_size: int = 20,
        upsampling: dict | None = None,
        *,
        channels: int = 90,
        degradation_attention: dict | None = None,
        **refinement,
    ) -> None:
        super().__init__(
            3 + channels,
            channels=channels,
            is_first=False,
            degradation_attention=degradation_attention or dict(type='GuidedAttention'),
            **refinement,
        )
        flow_channels = 3 * self.num_flows
        self.degradation_kernel_size = degradation_kernel_size
        self.flow_embedding = conv_pair(flow_channels, flow_channels, flow_channels)
        self.kernel_embedding = KernelEmbedding(degradation_kernel_size, channels)
        self.high_frequency_head = HighFrequencyHead(channels, self.scale)
        self.kernel_head = conv_pair(
            channels // self.num_frames, channels, (self.scale * kernel_size) ** 2
        )
        self.first_flow_head = conv_pair(flow_channels, flow_channels, 3)
        self.second_flow_head = conv_pair(flow_channels + 6, flow_channels, 3)
        self.upsampling = build_part(
            upsampling or dict(type='FlowGuidedDynamicUpsampling'),
            kernel_size=kernel_size,
            scale=self.scale,
        )

    def encode(
        self, frames: Tensor, feature: Tensor, strips: Strips = WHOLE_FRAMES
    ) -> Iterator[Tensor]:
        """Compute the features of single frames, level by level.

        Args:
            frames (Tensor): Blurry LR frames, (N, 3, H, W), [0, 1].
            feature (Tensor): NetD's last feature of the same frames, (N, C, H, W).
            strips (Strips): How the frames are cut.

        Returns:
            Iterator[Tensor]: (N, C, H, W), M + 1 times.
        """
        inputs = torch.cat((frames.to(feature.dtype), feature), dim=1)
        return self._encode_levels(inputs, strips)

    def embed_kernels(self, kernels: Tensor) -> Tensor:
        """Embed degradation kernels.

        Args:
            kernels (Tensor): :meth:`NetD.kernels`, (N, T, k_d^2, H, W).

        Returns:
            Tensor: (N, T, C, H, W).
        """
        return self.run_checkpointed(self.kernel_embedding, kernels)

    def embed_kernel_feature(
        self,
        kernel_feature: Tensor,
        kernel_head: Sequential,
        strips: Strips = WHOLE_FRAMES,
    ) -> Tensor:
        """Embed degradation kernels that are never computed as such.

        Args:
            kernel_feature (Tensor): Of a :class:`Degradation`, (N, T, C/T, H, W).
            kernel_head (Sequential): NetD's.
            strips (Strips): How the frames are cut.

        Returns:
            Tensor: (N, T, C, H, W).
        """
        embed = ComposedKernelEmbedding(kernel_head, self.kernel_embedding)
        return self.run_local(embed, kernel_feature, halo=embed.halo, strips=strips)

    def refine(
        self,
        frames: Tensor,
        features: Iterable[Tensor],
        flow_masks: Tensor,
        kernels: Tensor,
        strips: Strips = WHOLE_FRAMES,
    ) -> Restoration:
        """Restore a window's centre frame.

        Args:
            frames (Tensor): Blurry LR frames, (N, T, 3, H, W), [0, 1].
            features (Iterable[Tensor]): For each level of :meth:`encode` the
                window's features, (N, T, C, H, W).
            flow_masks (Tensor): NetD's flow-mask pairs, (N, T, 3n, H, W).
            kernels (Tensor): Embedded degradation kernels, (N, T, C, H, W).
            strips (Strips): How the frames are cut.

        Returns:
            Restoration: Of the window's centre frame.
        """
        flow_masks = per_frame(self.flow_embedding, flow_masks)
        flow_masks, warped, feature = self._refine_blocks(
            features, flow_masks, kernels, strips
        )
        warped_frames = self._warp_images(frames, flow_masks)
        output = self.run_local(
            self._make_image,
            warped,
            warped_frames if self.upsampling.flow_guided else frames,
            halo=max(self.high_frequency_head.halo, self.upsampling.kernel_size // 2),
            strips=strips,
            scale=self.scale,
            max_rows=_HEAD_ROWS,
        )
        return Restoration(output, warped_frames, feature)

    def forward(
        self, frames: Tensor, degradation: Degradation, kernels: Tensor
    ) -> Restoration:
        """Restore the centre frame of a window.

        Args:
            frames (Tensor): Blurry LR frames, (N, T, 3, H, W), [0, 1].
            degradation (Degradation): NetD's estimate for them.
            kernels (Tensor): :meth:`NetD.kernels` of it, (N, T, k_d^2, H, W).

        Returns:
            Restoration: Of the window's centre frame.
        """
        features = self.encode(frames.flatten(0, 1), degradation.feature.flatten(0, 1))
        return self.refine(
            frames,
            split_windows(features, self.num_frames),
            degradation.flow_masks,
            self.embed_kernels(kernels),
        )

    def _make_image(self, warped: Tensor, frames: Tensor) -> Tensor:
        kernels = per_frame(self.kernel_head, self._fold_frames(warped))
        image = self.upsampling(frames, kernels)
        del kernels
        return image + self.high_frequency_head(warped)

    def _warp_images(self, frames: Tensor, flow_masks: Tensor) -> Tensor:
        """Warp and mask the frames; the second pass sees how the first went."""
        centre = frames[:, self.num_frames // 2].unsqueeze(1).expand_as(frames)
        first = self._masked_warp(frames, per_frame(self.first_flow_head, flow_masks))
        parts = (flow_masks, first.to(flow_masks.dtype), centre.to(flow_masks.dtype))
        second = per_frame(self.second_flow_head, torch.cat(parts, dim=2))
        return self._masked_warp(frames, second)

    @staticmethod
    def _masked_warp(frames: Tensor, flow_mask: Tensor) -> Tensor:
        warped = masked_warp(frames.flatten(0, 1), flow_mask.flatten(0, 1))
        return warped.unflatten(0, frames.shape[:2])
