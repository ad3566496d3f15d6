"""Restormer (arXiv 2111.09881), which keeps the size of its image, for windows and x4.

Its attention is the one that FMA-Net takes over, see
:mod:`~fmanet_mm.models.common.multi_attention`.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleList, Sequential
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...ops import WHOLE_FRAMES, Strips, pad_to_multiple
from ..common.layers import conv3x3
from ..common.multi_attention import SelfAttention

MULTIPLE = 8
"""Heights and widths that the three halvings divide."""


class RestormerTrunk(BaseModule):
    """Restormer up to the convolution that makes an image of its feature.

    Args:
        in_channels (int): Channels of the input.
        dim (int): Channels of the first level, C; each level below has twice as many.
        num_blocks (Sequence[int]): Blocks of the four levels.
        num_refinement_blocks (int): Blocks after the decoder.
        heads (Sequence[int]): Attention heads of the four levels.
        ffn_expansion_factor (float): See
            :class:`~fmanet_mm.models.common.multi_attention.GatedFeedForward`.
        with_cp (bool): Whether to checkpoint the attention in training.
    """

    def __init__(
        self,
        in_channels: int,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        num_refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        ffn_expansion_factor: float = 2.66,
        with_cp: bool = False,
    ) -> None:
        super().__init__()

        def blocks(channels: int, level: int, count: int) -> ModuleList:
            layers = (
                SelfAttention(
                    channels, heads[level], ffn_expansion_factor, True, with_cp
                )
                for _ in range(count)
            )
            return ModuleList(layers)

        widths = [dim * 2**level for level in range(4)]
        # The decoder of the first level keeps the channels of the second.
        decoder_widths = [widths[1], *widths[1:3]]
        self.out_channels = widths[1]
        self.embedding = conv3x3(in_channels, dim)
        self.encoders = ModuleList(
            blocks(width, level, num_blocks[level])
            for level, width in enumerate(widths)
        )
        self.reductions = ModuleList(conv3x3(width, width // 2) for width in widths[:3])
        self.expansions = ModuleList(conv3x3(width, 2 * width) for width in widths[1:])
        self.fusions = ModuleList(
            nn.Conv2d(2 * width, width, 1, bias=False) for width in widths[1:3]
        )
        self.decoders = ModuleList(
            blocks(width, level, num_blocks[level])
            for level, width in enumerate(decoder_widths)
        )
        self.refinement = blocks(self.out_channels, 0, num_refinement_blocks)

    def forward(self, x: Tensor, strips: Strips = WHOLE_FRAMES) -> Tensor:
        """Map (N, C_in, H, W) to (N, 2C, H, W); H and W are multiples of 8."""
        feature = strips.map(self.embedding, x, halo=1)
        skips = []
        for encoder, reduction in zip(self.encoders, self.reductions, strict=False):
            feature = _run(encoder, feature, strips)
            skips.append(feature)
            feature = F.pixel_unshuffle(strips.map(reduction, feature, halo=1), 2)
        feature = _run(self.encoders[-1], feature, strips)
        for level in (2, 1, 0):
            expanded = strips.map(self.expansions[level], feature, halo=1)
            feature = torch.cat((F.pixel_shuffle(expanded, 2), skips.pop()), dim=1)
            if level > 0:
                feature = self.fusions[level - 1](feature)
            feature = _run(self.decoders[level], feature, strips)
        return _run(self.refinement, feature, strips)


def _run(blocks: Iterable[SelfAttention], feature: Tensor, strips: Strips) -> Tensor:
    for block in blocks:
        feature = block(feature, None, strips)
    return feature


@MODELS.register_module()
class WindowRestormer(BaseModule):
    """Restore the sharp HR centre frame of a window by Restormer.

    The frames enter side by side. Instead of Restormer's last convolution, which makes
    an image of the size of its input, convolutions and pixel shuffles double the size
    until it is s times as large; the centre frame, upsampled bilinearly, is added. With
    the sizes of Restormer's paper, T = 3 and s = 4, it has the 26.5 M parameters of
    Restormer* in FMA-Net's Table 1, whose text does not describe the tail further.

    It is a :class:`~fmanet_mm.restoration.protocol.WindowNetwork`: attention over
    channels only needs sums over all pixels, so strips are exact.

    Args:
        num_frames (int): Frames of a window, T; odd.
        scale (int): Ratio of HR to LR size, s; a power of 2.
        tail_channels (int): Channels after each pixel shuffle.
        **trunk: Arguments of :class:`RestormerTrunk` but ``in_channels``.

    Raises:
        ValueError: If ``num_frames`` is even, or ``scale`` no power of 2.
    """

    takes_batches = True

    def __init__(
        self, num_frames: int, scale: int, tail_channels: int = 64, **trunk
    ) -> None:
        super().__init__()
        if num_frames % 2 == 0:
            raise ValueError(f'num_frames must be odd, got {num_frames}')
        if scale < 2 or scale & (scale - 1):
            raise ValueError(f'scale must be 2, 4, 8, ..., got {scale}')
        self.num_frames = num_frames
        self.scale = scale
        self.trunk = RestormerTrunk(3 * num_frames, **trunk)
        layers, channels = [], self.trunk.out_channels
        for _ in range(scale.bit_length() - 1):
            layers += _doubling(channels, tail_channels)
            channels = tail_channels
        self.tail = Sequential(*layers, nn.Conv2d(channels, 3, 3, padding=1))

    def forward(self, frames: Tensor, strips: Strips = WHOLE_FRAMES) -> Tensor:
        """Map a window (N, T, 3, H, W) to its centre frame, (N, 3, sH, sW)."""
        height, width = (self.scale * n for n in frames.shape[-2:])
        upsampled = F.interpolate(
            frames[:, self.num_frames // 2],
            scale_factor=self.scale,
            mode='bilinear',
            align_corners=False,
        )
        side_by_side = pad_to_multiple(frames, MULTIPLE).flatten(1, 2)
        feature = self.trunk(side_by_side, strips)
        # A row of each convolution, the later ones on finer grids.
        details = strips.map(self.tail, feature, halo=2, scale=self.scale)
        return upsampled + details[..., :height, :width]

    def encode(self, frame: Tensor, strips: Strips) -> Tensor:
        """Nothing depends on one frame alone."""
        return frame

    def refine(self, window: Sequence[Tensor], strips: Strips) -> Tensor:
        """Restore the centre of T frames, (N, 3, sH, sW)."""
        return self(torch.stack(tuple(window), dim=1), strips)


def _doubling(in_channels: int, out_channels: int) -> tuple[nn.Module, nn.Module]:
    """A convolution and a pixel shuffle to twice the height and width."""
    conv = nn.Conv2d(in_channels, 4 * out_channels, 3, padding=1)
    return conv, nn.PixelShuffle(2)
