"""Restoring frames level by level, by the model and by its inference form."""

from itertools import repeat
from typing import NamedTuple

import torch
from torch import Tensor

from ...ops import WHOLE_FRAMES, Strips
from ...utils.levels import pass_levels
from .exposure import ExposureExtractor
from .net_d import SequenceNetD
from .net_r import SequenceNetR


class FrameState(NamedTuple):
    """What is known of a frame on a level.

    Attributes:
        image (Tensor): Blurry LR frame, (N, 3, H, W).
        exposure (Tensor | None): Its exposure vector, (N, d_u).
        feature (Tensor): Its feature, (N, C, H, W), which the neighbours read.
        flow_masks (Tensor): Flow-mask pairs towards both neighbours, (N, 6n, H, W).
        kernel_feature (Tensor | None): In NetR, what its degradation kernels are
            computed from, (N, C, H, W).
    """

    image: Tensor
    exposure: Tensor | None
    feature: Tensor
    flow_masks: Tensor
    kernel_feature: Tensor | None = None


class ExposureAware:
    """What has an exposure extractor, or does without.

    Attributes:
        exposure_net (ExposureExtractor | None): The extractor.
    """

    exposure_net: ExposureExtractor | None

    @torch.no_grad()
    def embed(self, frames: Tensor) -> Tensor | None:
        """Exposure vectors of frames, (..., 3, H, W) -> (..., d_u).

        Returns:
            Tensor | None: None without an exposure extractor.
        """
        if self.exposure_net is None:
            return None
        dtype = self.exposure_net.conv.weight.dtype
        embedded = self.exposure_net(frames.flatten(0, -4).to(dtype))
        return embedded.unflatten(0, frames.shape[:-3])


class LevelRestoration(ExposureAware):
    """How NetD and NetR restore frames; a :class:`LevelNetwork`.

    Attributes:
        net_d (SequenceNetD): NetD.
        net_r (SequenceNetR): NetR.
    """

    net_d: SequenceNetD
    net_r: SequenceNetR

    @property
    def num_levels(self) -> int:
        """HRBA blocks of both nets, 2M."""
        return self.net_d.num_levels + self.net_r.num_levels

    def encode(self, frame: Tensor, strips: Strips = WHOLE_FRAMES) -> FrameState:
        """Compute what does not depend on a frame's neighbours.

        Args:
            frame (Tensor): Blurry LR frame, (1, 3, H, W), RGB in [0, 1].
            strips (Strips): How frames are cut.

        Returns:
            FrameState: On level 0.

        Raises:
            ValueError: If frames cannot be restored level by level.
        """
        if self.net_d.temporal != 'hierarchical':
            raise ValueError(
                f'with temporal={self.net_d.temporal!r} clips are not restored level '
                "by level; write restorer = dict(type='SequenceRestorer', "
                f'scale={self.scale}) in the config'
            )
        return self._encode(frame, self.embed(frame), strips)

    def restore_clip(
        self, frames: Tensor, exposure: Tensor | None, strips: Strips = WHOLE_FRAMES
    ) -> Tensor:
        """Restore a clip frame by frame, in memory that hardly grows with it.

        Args:
            frames (Tensor): Blurry LR frames, (T, 3, H, W), RGB in [0, 1].
            exposure (Tensor, optional): Exposure vectors, (T, d_u).
            strips (Strips): How frames are cut.

        Returns:
            Tensor: Sharp HR frames, (T, 3, sH, sW), about [0, 1].
        """
        vectors = repeat(None) if exposure is None else exposure.split(1)
        states = (
            self._encode(frame, vector, strips)
            for frame, vector in zip(frames.split(1), vectors, strict=False)
        )
        restored = pass_levels(
            self, states, lambda function, *inputs: function(*inputs, strips)
        )
        return torch.cat(list(restored))

    def advance(
        self,
        level: int,
        state: FrameState,
        previous: Tensor,
        following: Tensor,
        strips: Strips = WHOLE_FRAMES,
    ) -> FrameState:
        """Bring a frame to the next level.

        Args:
            level (int): The level it is on, 0 to 2M - 1.
            state (FrameState): Of the frame.
            previous (Tensor): Feature of the previous frame on this level,
                (1, C, H, W); of the first frame of a clip :meth:`beyond_end`.
            following (Tensor): Feature of the following frame, likewise.
            strips (Strips): How frames are cut.

        Returns:
            FrameState: On the next level.
        """
        in_net_d = level < self.net_d.num_levels
        kernels = None
        if not in_net_d:
            kernels = self.net_d.factored_kernels(state.kernel_feature)
        feature, flow_masks = (self.net_d if in_net_d else self.net_r).advance(
            level if in_net_d else level - self.net_d.num_levels,
            state.feature,
            state.flow_masks,
            (previous, following),
            state.exposure,
            kernels,
            strips,
        )
        state = state._replace(feature=feature, flow_masks=flow_masks)
        if level == self.net_d.num_levels - 1:
            return self._start_restoration(state, strips)
        return state

    def beyond_end(self, feature: Tensor) -> Tensor:
        """See :meth:`SequenceNet.beyond_end`."""
        return self.net_d.beyond_end(feature)

    def decode(self, state: FrameState, strips: Strips = WHOLE_FRAMES) -> Tensor:
        """Compute the image of a frame that has passed all levels.

        Args:
            state (FrameState): Of the frame, on level 2M.
            strips (Strips): How frames are cut.

        Returns:
            Tensor: Sharp HR frame, (1, 3, sH, sW), about [0, 1].
        """
        return self.net_r.make_image(state.feature, state.image, strips)

    def _encode(
        self, frame: Tensor, exposure: Tensor | None, strips: Strips
    ) -> FrameState:
        feature = self.net_d.extract(frame, strips)
        flow_masks = self.net_d.initial_flow_masks(feature)
        return FrameState(frame, exposure, feature, flow_masks)

    def _start_restoration(self, state: FrameState, strips: Strips) -> FrameState:
        """Hand a frame from NetD to NetR."""
        kernel_feature = self.net_d.kernel_feature(state.feature, strips)
        feature, flow_masks = self.net_r.start(
            state.image, state.feature, state.flow_masks, strips
        )
        return state._replace(
            feature=feature, flow_masks=flow_masks, kernel_feature=kernel_feature
        )
