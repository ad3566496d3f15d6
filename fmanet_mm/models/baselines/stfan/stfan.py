"""STFAN as published, for video deblurring, and two forms that also enlarge by 4."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import Sequential
from mmengine.registry import MODELS
from torch import Tensor, nn

from ....ops import WHOLE_FRAMES, Strips, filter_adaptive_conv
from ...common.layers import LeanModule
from ..bicubic import BicubicUpsampling
from ..layers import ResidualBlock, upsampling_convs

NEGATIVE_SLOPE = 0.1
"""Slope of every LeakyReLU of STFAN."""

QUARTER = 4
"""Ratio of the image's size to that of the features that are filtered."""

_ENCODER_HALO, _FILTERS_HALO, _DECODER_HALO = 8, 10, 6
"""Rows that the parts read around their own, at a quarter of the size."""


class STFANState(NamedTuple):
    """What a frame leaves to the next one.

    Attributes:
        frame (Tensor): The blurry frame, (N, 3, H, W).
        restored (Tensor): What it was restored to, in [0, 1], (N, 3, H, W).
        feature (Tensor): Deblurred and aligned feature, (N, 2C, H/4, W/4).
    """

    frame: Tensor
    restored: Tensor
    feature: Tensor


@MODELS.register_module()
class STFAN(LeanModule):
    """Deblurs video frame by frame; a :class:`RecurrentNetwork`.

    Its weights have other names than the released ones; see
    :func:`~fmanet_mm.models.baselines.stfan.official_weights.convert_stfan`. Gradients
    do not flow from a frame to the one before, as published.

    Args:
        widths (Sequence[int]): Channels at the full size, a half and a quarter of it;
            the last are C.
        kernel_size (int): Side of the filters of the FAC layers, k; odd.
        with_cp (bool): Whether to checkpoint in training: the filters, most of the
            memory, are computed again for the gradients.
        init_cfg (dict, optional): Initialisation config; by default Xavier's, uniform.

    Attributes:
        scale (int): Ratio of the output's size to the input's: 1.
    """

    scale = 1

    def __init__(
        self,
        widths: Sequence[int] = (32, 64, 128),
        kernel_size: int = 5,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        xavier = dict(
            type='Xavier', layer=['Conv2d', 'ConvTranspose2d'], distribution='uniform'
        )
        super().__init__(with_cp, init_cfg or xavier)
        self.kernel_size = kernel_size
        *_, channels = widths
        taps = channels * kernel_size**2
        self.filter_encoder = _encoder(9, widths)
        self.image_encoder = _encoder(3, widths)
        self.alignment_filters = _filters(channels, channels, taps)
        self.filter_embedding = _conv(taps, channels, 1)
        self.deblurring_filters = _filters(2 * channels, channels, taps)
        self.carry_embedding = _conv(2 * channels, channels)
        self.decoder = _decoder(2 * channels, widths)
        self.prediction = _conv(widths[0], 3)

    def forward(self, clip: Tensor) -> Tensor:
        """Restore a clip, (N, T, 3, H, W), to (N, T, 3, sH, sW).

        Raises:
            ValueError: If the network's images are no multiples of 4 pixels.
        """
        state, outputs = None, []
        for frame in clip.unbind(1):
            output, state = self.step(frame, state)
            outputs.append(output)
        return torch.stack(outputs, dim=1)

    def step(
        self,
        frame: Tensor,
        state: STFANState | None = None,
        strips: Strips = WHOLE_FRAMES,
    ) -> tuple[Tensor, STFANState]:
        """Restore the next frame of a clip.

        Args:
            frame (Tensor): Blurry frame, (N, 3, H, W), RGB in [0, 1].
            state (STFANState, optional): Of the frame before; None at the first one.
            strips (Strips): How a quarter-size grid is cut; exact.

        Returns:
            tuple[Tensor, STFANState]: The restored frame, (N, 3, sH, sW), and the
            state.

        Raises:
            ValueError: If the network's images are no multiples of 4 pixels.
        """
        image = self.enlarge(frame)
        _check_size(image)
        before = (image, image) if state is None else state[:2]
        seen = self._encode(self.filter_encoder, torch.cat((image, *before), 1), strips)
        feature = self._encode(self.image_encoder, image, strips)
        carried = torch.cat((feature, feature), 1) if state is None else state.feature
        feature = self.run_local(
            self._filter,
            seen,
            feature,
            carried,
            halo=max(_FILTERS_HALO, self.kernel_size // 2 + 1),
            strips=strips,
        )
        residual = self.run_local(
            self._decode,
            feature,
            halo=_DECODER_HALO,
            strips=strips,
            scale=QUARTER * self.residual_scale,
        )
        output = self.add_residual(residual, image)
        restored = self.feed_back(output.detach().clamp(0, 1))
        return output, STFANState(image, restored, feature.detach())

    residual_scale = 1
    """Ratio of the size of the predicted residual to that of the image."""

    def enlarge(self, frame: Tensor) -> Tensor:
        """The image that the network reads, of the size at which it computes."""
        return frame

    def add_residual(self, residual: Tensor, image: Tensor) -> Tensor:
        """The output."""
        return residual + image

    def feed_back(self, output: Tensor) -> Tensor:
        """What the next step reads of an output, (N, 3, H, W)."""
        return output

    def _encode(self, encoder: nn.Module, image: Tensor, strips: Strips) -> Tensor:
        # Side by side, the pixels of a quarter-size pixel cannot come apart in strips.
        return self.run_local(
            lambda pixels: encoder(F.pixel_shuffle(pixels, QUARTER)),
            F.pixel_unshuffle(image, QUARTER),
            halo=_ENCODER_HALO,
            strips=strips,
        )

    def _filter(self, seen: Tensor, feature: Tensor, carried: Tensor) -> Tensor:
        """Deblur and align; of the filters there is one set at a time."""
        filters = self.alignment_filters(seen)
        carried = self.carry_embedding(carried)
        aligned = filter_adaptive_conv(carried, filters, self.kernel_size)
        embedded = self.filter_embedding(filters)
        del filters
        filters = self.deblurring_filters(torch.cat((seen, embedded), dim=1))
        deblurred = filter_adaptive_conv(feature, filters, self.kernel_size)
        return torch.cat((deblurred, aligned), dim=1).to(feature.dtype)

    def _decode(self, feature: Tensor) -> Tensor:
        return self.prediction(self.decoder(feature))


@MODELS.register_module()
class STFANOnBicubic(STFAN):
    """STFAN, unchanged, on frames that are enlarged bicubically.

    The weights are those of :class:`STFAN`. Its features have the size of the LR frame.

    Args:
        scale (int): Ratio of the output's size to the input's, s.
        **stfan: Arguments of :class:`STFAN`.
    """

    def __init__(self, scale: int = 4, **stfan) -> None:
        super().__init__(**stfan)
        self.scale = scale
        self.upsampling = BicubicUpsampling(scale)

    def enlarge(self, frame: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) bicubically to (N, 3, sH, sW)."""
        return self.upsampling(frame.unsqueeze(1))


@MODELS.register_module()
class STFANOnLR(STFAN):
    """STFAN on LR frames, with a head that enlarges by 4.

    Pixel shuffles replace the last convolution; the residual is added to the frame
    enlarged bilinearly. The next step reads the output shrunk bicubically by 4.

    Args:
        widths (Sequence[int]): See :class:`STFAN`.
        **stfan: Its other arguments.
    """

    scale = residual_scale = 4

    def __init__(self, widths: Sequence[int] = (32, 64, 128), **stfan) -> None:
        super().__init__(widths, **stfan)
        channels = widths[0]
        self.prediction = Sequential(
            *upsampling_convs(channels, channels, NEGATIVE_SLOPE)
        )

    def add_residual(self, residual: Tensor, image: Tensor) -> Tensor:
        """The output."""
        return residual + F.interpolate(
            image, scale_factor=self.scale, mode='bilinear', align_corners=False
        )

    def feed_back(self, output: Tensor) -> Tensor:
        """Shrink (N, 3, sH, sW) bicubically to (N, 3, H, W)."""
        return F.interpolate(
            output, scale_factor=1 / self.scale, mode='bicubic', antialias=True
        )


def _conv(
    in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1
) -> Sequential:
    """A convolution and the LeakyReLU that all outside residual blocks have."""
    return Sequential(
        nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2
        ),
        nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
    )


def _residual_blocks(channels: int) -> list[ResidualBlock]:
    return [ResidualBlock(channels, NEGATIVE_SLOPE) for _ in range(2)]


def _encoder(in_channels: int, widths: Sequence[int]) -> Sequential:
    """Three levels, the first of which keeps the size."""
    levels, strides = [], (1, 2, 2)
    for channels, stride in zip(widths, strides, strict=True):
        first = _conv(in_channels, channels, stride=stride)
        levels.append(Sequential(first, *_residual_blocks(channels)))
        in_channels = channels
    return Sequential(*levels)


def _filters(in_channels: int, channels: int, taps: int) -> Sequential:
    """From a feature to the taps of a filter for each channel and pixel."""
    return Sequential(
        _conv(in_channels, channels),
        *_residual_blocks(channels),
        _conv(channels, taps, 1),
    )


def _decoder(in_channels: int, widths: Sequence[int]) -> Sequential:
    """From a quarter of the size to the full size, without skip connections."""
    layers = []
    for channels in (widths[1], widths[0]):
        layers += [
            Sequential(
                nn.ConvTranspose2d(in_channels, channels, 4, stride=2, padding=1),
                nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
            ),
            *_residual_blocks(channels),
        ]
        in_channels = channels
    return Sequential(*layers)


def _check_size(image: Tensor) -> None:
    height, width = image.shape[-2:]
    if height % QUARTER or width % QUARTER:
        raise ValueError(
            f'STFAN takes images of multiples of {QUARTER} pixels, got {width}x'
            f'{height}; pad them, as RecurrentRestorer does with multiple={QUARTER}'
        )
