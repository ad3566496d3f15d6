"""NetR, the restoration network."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from mmengine.model import BaseModule, Sequential
from torch import Tensor, nn

from ...ops import masked_warp
from ..common.layers import (
    TemporalConv,
    activate,
    build_part,
    compose_convs,
    conv3x3,
    conv_pair,
    per_frame,
    temporal_conv,
)
from .net_d import Degradation
from .refinement_net import RefinementNet, split_window

_SHUFFLE_FACTORS = {1: (), 2: (2,), 3: (3,), 4: (2, 2)}

_HEAD_HALO = 3
"""LR rows around its own that a row of the high-frequency image depends on."""

_HEAD_ROWS = 64
"""LR rows of which kernels and high-resolution features are held at a time."""


class Restoration(NamedTuple):
    """What NetR makes of a window.

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
    """Makes the high-frequency image by pixel shuffles.

    Args:
        channels (int): C.
        scale (int): 1, 2, 3 or 4; 4 takes two steps of 2.
    """

    def __init__(self, channels: int, scale: int) -> None:
        super().__init__()
        self.factors = _SHUFFLE_FACTORS[scale]
        self.conv_first = conv3x3(channels, channels)
        self.upsample_convs = nn.ModuleList(
            conv3x3(channels, channels * factor**2) for factor in self.factors
        )
        self.conv_hr = conv3x3(channels, channels)
        self.conv_last = conv3x3(channels, 3)

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
    """

    def __init__(self, kernel_size: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.conv_in = TemporalConv(kernel_size**2, channels)
        self.conv_out = TemporalConv(channels, channels)

    def forward(self, kernels: Tensor) -> Tensor:
        """Map (N, T, k_d^2, H, W) to (N, T, C, H, W)."""
        return self.conv_out(activate(self.conv_in(kernels)))

    def after(self, kernel_head: Sequential) -> Callable[[Tensor], Tensor]:
        """:meth:`forward` after ``kernel_head``, with no large kernels in between.

        The last convolution of the head and the first one here are one of 5x5
        pixels, which for the published network takes less than half of the
        operations. Only at the frame's borders, where the kernels are padded with
        zeros, the two are not the same.

        Args:
            kernel_head (Sequential): conv3x3, LeakyReLU, conv3x3.

        Returns:
            Callable: Maps what the head reads, (N, T, C', H, W), to (N, T, C, H, W).
        """
        conv_first, activation, conv_last = kernel_head
        apart = conv_last.weight.numel() + self.conv_in.weight.numel()
        composed = self.channels * conv_last.in_channels * 3 * 5 * 5
        if apart <= composed:
            return lambda feature: self(per_frame(kernel_head, feature))
        weight = compose_convs(conv_last.weight, self.conv_in.weight)

        def embed(feature: Tensor) -> Tensor:
            hidden = per_frame(lambda x: activation(conv_first(x)), feature)
            embedded = temporal_conv(hidden, weight.to(hidden.dtype))
            for dim in (-2, -1):
                size = hidden.size(dim)
                width = min(size, 3)
                for begin, border in ((0, 0), (size - width, size - 1)):
                    band = hidden.narrow(dim, begin, width)
                    exact = self.conv_in(per_frame(conv_last, band))
                    exact = exact.narrow(dim, border - begin, 1)
                    embedded.narrow(dim, border, 1).copy_(exact)
            return self.conv_out(activate(embedded))

        return embed


@MODELS.register_module()
class NetR(RefinementNet):
    """Restores the centre frame, guided by the learned degradation (Section 3.5).

    Args:
        kernel_size (int): Restoration kernel size on the LR grid, k_r; odd.
        degradation_kernel_size (int): NetD's kernel size, k_d.
        upsampling (dict, optional): What to filter with instead of
            :class:`FlowGuidedDynamicUpsampling`, such as
            ``dict(type='DynamicUpsampling')``.
        degradation_attention (dict, optional): What to refine with instead of
            attention that the degradation guides, such as
            ``dict(type='ModulationHalf')``.
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
            degradation_attention=degradation_attention or dict(type='AttentionHalf'),
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

    def encode(self, frames: Tensor, feature: Tensor) -> list[Tensor]:
        """Features of all levels of single frames.

        Args:
            frames (Tensor): Blurry LR frames, (N, 3, H, W), [0, 1].
            feature (Tensor): NetD's last feature of the same frames, (N, C, H, W).

        Returns:
            list[Tensor]: M + 1 features of (N, C, H, W).
        """
        return list(self._encode_levels(frames, feature))

    def _encode_levels(self, frames: Tensor, feature: Tensor) -> Iterator[Tensor]:
        inputs = torch.cat((frames.to(feature.dtype), feature), dim=1)
        return super()._encode_levels(inputs)

    def refine(
        self, frames: Tensor, features: Iterable[Tensor], degradation: Degradation
    ) -> Restoration:
        """Restore a window's centre frame.

        Args:
            frames (Tensor): Blurry LR frames, (N, T, 3, H, W), [0, 1].
            features (Iterable[Tensor]): For each level of :meth:`encode` the
                window's features, (N, T, C, H, W).
            degradation (Degradation): What NetD learned of the window.

        Returns:
            Restoration: Of the window's centre frame.
        """
        flow_masks, warped, feature = self._refine_blocks(
            features,
            per_frame(self.flow_embedding, degradation.flow_masks),
            self._embed_kernels(degradation),
        )
        warped_frames = self._warp_images(frames, flow_masks)
        output = self.run_local(
            self._make_image,
            warped,
            warped_frames if self.upsampling.flow_guided else frames,
            halo=max(_HEAD_HALO, self.upsampling.kernel_size // 2),
            scale=self.scale,
            max_rows=_HEAD_ROWS,
        )
        return Restoration(output, warped_frames, feature)

    def forward(self, frames: Tensor, degradation: Degradation) -> Restoration:
        """Restore the centre frame of a window.

        Args:
            frames (Tensor): Blurry LR frames, (N, T, 3, H, W), [0, 1].
            degradation (Degradation): :class:`NetD`'s output for them.

        Returns:
            Restoration: Of the window's centre frame.
        """
        features = self._encode_levels(
            frames.flatten(0, 1), degradation.feature.flatten(0, 1)
        )
        return self.refine(frames, split_window(features, self.num_frames), degradation)

    def _embed_kernels(self, degradation: Degradation) -> Tensor:
        if torch.is_grad_enabled():
            return self.run_local(self.kernel_embedding, degradation.kernels, halo=2)

        embed = self.kernel_embedding.after(degradation.kernel_head)
        return self.run_local(embed, degradation.kernel_feature, halo=4)

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
