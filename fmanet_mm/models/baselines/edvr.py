"""EDVR (arXiv 1905.02716) with pre-deblurring: the variant for blurry LR frames."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...ops import WHOLE_FRAMES, Strips, modulated_deform_conv, pad_to_multiple
from .layers import ResidualBlock

MULTIPLE = 4
"""Heights and widths that the two halvings divide."""

TAIL_CHANNELS = 64
"""Channels of the features of HR size."""

RESIDUAL_SCALE = 0.1
"""Factor of the random weights of residual blocks."""


class EncodedFrame(NamedTuple):
    """What is computed once for a frame.

    Attributes:
        image (Tensor): The LR frame, (N, 3, H, W).
        levels (tuple[Tensor, ...]): Its features of full, half and quarter size, padded
            to a multiple of 4 pixels of the frame, (N, C, ., .).
    """

    image: Tensor
    levels: tuple[Tensor, ...]


@MODELS.register_module()
class PredeblurEDVR(BaseModule):
    """Restore the sharp HR centre frame of a window by EDVR with pre-deblurring.

    A pyramid of residual blocks deblurs the features of each frame; features of three
    sizes are aligned to the centre frame by deformable convolutions, from coarse to
    fine (PCD), fused by attention over time and space (TSA), and upsampled by 4. The
    defaults are those of EDVR-L: 23,306,851 parameters.

    It is a :class:`~fmanet_mm.restoration.protocol.WindowNetwork`. Frames are never cut
    into strips: deformable convolutions may read from any row.

    Args:
        channels (int): C.
        num_frames (int): Frames of a window, T; odd.
        deform_groups (int): Groups of channels that move together; divides C.
        num_extraction_blocks (int): Residual blocks for each frame.
        num_reconstruction_blocks (int): Residual blocks after the fusion.

    Raises:
        ValueError: If ``num_frames`` is even, or ``deform_groups`` does not divide C.
    """

    scale = 4
    takes_batches = True

    def __init__(
        self,
        channels: int = 128,
        num_frames: int = 5,
        deform_groups: int = 8,
        num_extraction_blocks: int = 5,
        num_reconstruction_blocks: int = 40,
    ) -> None:
        super().__init__()
        if num_frames % 2 == 0:
            raise ValueError(f'num_frames must be odd, got {num_frames}')
        if channels % deform_groups:
            raise ValueError(
                f'deform_groups must divide the {channels} channels, got '
                f'{deform_groups}'
            )
        self.num_frames = num_frames
        self.predeblur = PredeblurPyramid(channels)
        self.extraction = _residual_blocks(channels, num_extraction_blocks)
        self.halvings = ModuleList(
            nn.Sequential(
                _conv(channels, channels, stride=2), _conv(channels, channels)
            )
            for _ in range(2)
        )
        self.alignment = PyramidAlignment(channels, deform_groups)
        self.fusion = TemporalSpatialAttention(channels, num_frames)
        self.reconstruction = _residual_blocks(channels, num_reconstruction_blocks)
        self.doublings = ModuleList(
            (_conv(channels, 4 * channels), _conv(channels, 4 * TAIL_CHANNELS))
        )
        self.conv_hr = _conv(TAIL_CHANNELS, TAIL_CHANNELS)
        self.conv_last = _conv(TAIL_CHANNELS, 3)

    def forward(self, frames: Tensor) -> Tensor:
        """Map a window (N, T, 3, H, W) to its centre frame, (N, 3, 4H, 4W)."""
        encoded = self.encode(frames.flatten(0, 1))
        levels = [
            level.unflatten(0, frames.shape[:2]).unbind(1) for level in encoded.levels
        ]
        pairs = zip(frames.unbind(1), zip(*levels, strict=True), strict=True)
        return self.refine([EncodedFrame(*pair) for pair in pairs])

    def encode(self, frame: Tensor, strips: Strips = WHOLE_FRAMES) -> EncodedFrame:
        """Deblur the features of (N, 3, H, W), and compute those of other sizes."""
        padded = pad_to_multiple(frame.unsqueeze(1), MULTIPLE).squeeze(1)
        levels = [self.extraction(self.predeblur(padded))]
        for halve, convolve in self.halvings:
            levels.append(_activate(convolve(_activate(halve(levels[-1])))))
        return EncodedFrame(frame, tuple(levels))

    def refine(
        self, window: Sequence[EncodedFrame], strips: Strips = WHOLE_FRAMES
    ) -> Tensor:
        """Restore the centre of T encoded frames, (N, 3, 4H, 4W)."""
        centre = window[self.num_frames // 2]
        aligned = [self.alignment(frame.levels, centre.levels) for frame in window]
        feature = self.fusion(torch.stack(aligned, dim=1))
        feature = self.reconstruction(feature)
        for doubling in self.doublings:
            feature = _activate(F.pixel_shuffle(doubling(feature), 2))
        details = self.conv_last(_activate(self.conv_hr(feature)))
        height, width = (self.scale * n for n in centre.image.shape[-2:])
        return _upsample(centre.image, self.scale) + details[..., :height, :width]


class PredeblurPyramid(BaseModule):
    """Deblurs the features of a frame on three sizes.

    Args:
        channels (int): C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_first = _conv(3, channels)
        self.to_half = _conv(channels, channels, stride=2)
        self.to_quarter = _conv(channels, channels, stride=2)
        self.quarter_block = _residual_blocks(channels, 1)
        self.half_blocks = _residual_blocks(channels, 2)
        self.full_blocks = _residual_blocks(channels, 5)
        self.project = _conv(channels, channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, 3, H, W) to (N, C, H, W); H and W are multiples of 4."""
        full = _activate(self.conv_first(image))
        half = _activate(self.to_half(full))
        quarter = _activate(self.to_quarter(half))
        half = self.half_blocks[0](half) + _upsample(self.quarter_block(quarter))
        full = self.full_blocks[:2](full) + _upsample(self.half_blocks[1](half))
        return self.project(self.full_blocks[2:](full))


class PyramidAlignment(BaseModule):
    """Aligns the features of a frame to the centre frame, from coarse to fine (PCD).

    Args:
        channels (int): C.
        deform_groups (int): See :class:`PredeblurEDVR`.
    """

    def __init__(self, channels: int, deform_groups: int) -> None:
        super().__init__()
        # Of full, half and quarter size.
        self.levels = ModuleList(
            LevelAlignment(channels, deform_groups, is_coarsest)
            for is_coarsest in (False, False, True)
        )
        self.cascade_reading = _conv(2 * channels, channels)
        self.cascade_guiding = _conv(channels, channels)
        self.cascade_deform = DeformableConv(channels, deform_groups)

    def forward(self, frame: Sequence[Tensor], centre: Sequence[Tensor]) -> Tensor:
        """Align features of full, half and quarter size; gives (N, C, H, W)."""
        coarser = None
        for level in (2, 1, 0):
            guide, feature = self.levels[level](frame[level], centre[level], coarser)
            if level > 0:
                feature = _activate(feature)
            coarser = guide, feature
        guide = torch.cat((feature, centre[0]), dim=1)
        guide = _activate(self.cascade_reading(guide))
        guide = _activate(self.cascade_guiding(guide))
        return _activate(self.cascade_deform(feature, guide))


class LevelAlignment(BaseModule):
    """Alignment on one size.

    Args:
        channels (int): C.
        deform_groups (int): See :class:`PredeblurEDVR`.
        is_coarsest (bool): Whether there is no coarser size to build on.
    """

    def __init__(self, channels: int, deform_groups: int, is_coarsest: bool) -> None:
        super().__init__()
        self.reading = _conv(2 * channels, channels)
        self.guiding = _conv(channels, channels)
        self.deform = DeformableConv(channels, deform_groups)
        if not is_coarsest:
            self.guide_merging = _conv(2 * channels, channels)
            self.feature_merging = _conv(2 * channels, channels)

    def forward(
        self, frame: Tensor, centre: Tensor, coarser: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Align ``frame`` to ``centre``, each (N, C, H, W).

        Args:
            frame (Tensor): Feature of a frame.
            centre (Tensor): That of the centre frame.
            coarser (tuple[Tensor, Tensor], optional): What this method gave for half
                the size.

        Returns:
            tuple[Tensor, Tensor]: What guides the deformable convolution, and the
            aligned feature.
        """
        guide = _activate(self.reading(torch.cat((frame, centre), dim=1)))
        if coarser is not None:
            # Offsets in pixels of this size are twice as large.
            merged = torch.cat((guide, 2 * _upsample(coarser[0])), dim=1)
            guide = _activate(self.guide_merging(merged))
        guide = _activate(self.guiding(guide))
        feature = self.deform(frame, guide)
        if coarser is not None:
            merged = torch.cat((feature, _upsample(coarser[1])), dim=1)
            feature = self.feature_merging(merged)
        return guide, feature


class DeformableConv(nn.Conv2d):
    """A 3x3 modulated deformable convolution whose taps are moved by another feature.

    Args:
        channels (int): C, of input, output and guide.
        deform_groups (int): Groups of channels that move together, G.
    """

    def __init__(self, channels: int, deform_groups: int) -> None:
        super().__init__(channels, channels, 3, padding=1)
        self.deform_groups = deform_groups
        # For each group and tap y, x and mask; at first the taps stay in place.
        self.offset = _conv(channels, 3 * 9 * deform_groups)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """Convolve (N, C, H, W), guided by (N, C, H, W)."""
        *offset, mask = self.offset(guide).chunk(3, dim=1)
        offset = torch.cat(offset, dim=1).unflatten(1, (self.deform_groups, 9, 2))
        mask = mask.sigmoid().unflatten(1, (self.deform_groups, 9))
        out = modulated_deform_conv(x, offset, mask, self.weight, self.bias)
        return out.to(x.dtype)


class TemporalSpatialAttention(BaseModule):
    """Fuses the aligned features of all frames (TSA).

    Args:
        channels (int): C.
        num_frames (int): T; odd.
    """

    def __init__(self, channels: int, num_frames: int) -> None:
        super().__init__()
        frames_channels = num_frames * channels
        self.centre_embedding = _conv(channels, channels)
        self.frame_embedding = _conv(channels, channels)
        self.feature_fusion = _conv(frames_channels, channels, 1)
        self.attention_fusion = _conv(frames_channels, channels, 1)
        self.half_in = _conv(2 * channels, channels, 1)
        self.half_out = _conv(channels, channels)
        self.quarter_in = _conv(channels, channels, 1)
        self.quarter_pooled = _conv(2 * channels, channels)
        self.quarter_out = _conv(channels, channels)
        self.merging = _conv(channels, channels, 1)
        self.scale_out = _conv(channels, channels)
        self.shift_in = _conv(channels, channels, 1)
        self.shift_out = _conv(channels, channels, 1)

    def forward(self, aligned: Tensor) -> Tensor:
        """Fuse (N, T, C, H, W) to (N, C, H, W); H and W are multiples of 4."""
        centre = self.centre_embedding(aligned[:, aligned.size(1) // 2])
        weighed = []
        for frame in aligned.unbind(1):
            similarity = (self.frame_embedding(frame) * centre).sum(1, keepdim=True)
            weighed.append(frame * similarity.sigmoid())
        frames = torch.cat(weighed, dim=1)
        feature = _activate(self.feature_fusion(frames))
        attention = self._spatial_attention(frames)
        shift = self.shift_out(_activate(self.shift_in(attention)))
        # At first, the sigmoid is about one half.
        return feature * attention.sigmoid() * 2 + shift

    def _spatial_attention(self, frames: Tensor) -> Tensor:
        full = _activate(self.attention_fusion(frames))
        half = _activate(self.half_in(_pool(full)))
        quarter = _activate(self.quarter_in(half))
        quarter = _activate(self.quarter_pooled(_pool(quarter)))
        quarter = _activate(self.quarter_out(quarter))
        half = _activate(self.half_out(half)) + _upsample(quarter)
        half = _activate(self.merging(half))
        return self.scale_out(_upsample(half))


def _residual_blocks(channels: int, count: int) -> nn.Sequential:
    """Residual blocks that are close to the identity at first."""
    blocks = nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))
    for conv in (conv for block in blocks for conv in block.children()):
        nn.init.kaiming_normal_(conv.weight)
        nn.init.zeros_(conv.bias)
        with torch.no_grad():
            conv.weight.mul_(RESIDUAL_SCALE)
    return blocks


def _conv(
    in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1
) -> nn.Conv2d:
    padding = kernel_size // 2
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)


def _activate(x: Tensor) -> Tensor:
    """EDVR's LeakyReLU, in place."""
    return F.leaky_relu(x, 0.1, inplace=True)


def _upsample(x: Tensor, scale: int = 2) -> Tensor:
    return F.interpolate(x, scale_factor=scale, mode='bilinear', align_corners=False)


def _pool(x: Tensor) -> Tensor:
    """Maximum and mean around every second pixel, (N, 2C, H/2, W/2)."""
    highest, mean = (pool(x, 3, 2, 1) for pool in (F.max_pool2d, F.avg_pool2d))
    return torch.cat((highest, mean), dim=1)
