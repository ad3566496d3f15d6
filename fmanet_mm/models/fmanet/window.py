"""Restoring a window with NetD and NetR: encode each frame once, refine each window."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...ops import WHOLE_FRAMES, Strips
from .net_d import NetD
from .net_r import NetR
from .refinement_net import split_windows, stack_window


class EncodedFrame(NamedTuple):
    """A frame and its features, which no other frame has influenced.

    Attributes:
        image (Tensor): Blurry LR frame, (N, 3, H, W).
        features_d (list[Tensor]): NetD's features of all levels, each (N, C, H, W).
        features_r (list[Tensor]): NetR's, likewise.
    """

    image: Tensor
    features_d: list[Tensor]
    features_r: list[Tensor]


class WindowRestoration:
    """How NetD and NetR restore a window; a :class:`WindowNetwork`.

    Attributes:
        net_d (NetD): NetD.
        net_r (NetR): NetR.
        takes_batches (bool): See :class:`WindowNetwork`.
    """

    takes_batches = True
    net_d: NetD
    net_r: NetR

    def encode(self, frame: Tensor, strips: Strips = WHOLE_FRAMES) -> EncodedFrame:
        """Compute what does not depend on a frame's neighbours.

        Args:
            frame (Tensor): Blurry LR frame, (N, 3, H, W), RGB in [0, 1].
            strips (Strips): How frames are cut.

        Returns:
            EncodedFrame: For :meth:`refine`, in every window that has the frame.
        """
        features_d = list(self.net_d.encode(frame, strips))
        features_r = list(self.net_r.encode(frame, features_d[-1], strips))
        return EncodedFrame(frame, features_d, features_r)

    def refine(
        self, window: Sequence[EncodedFrame], strips: Strips = WHOLE_FRAMES
    ) -> Tensor:
        """Restore the centre frame of a window.

        Args:
            window (Sequence[EncodedFrame]): T frames.
            strips (Strips): How frames are cut.

        Returns:
            Tensor: Sharp HR frame, (N, 3, sH, sW), about [0, 1].
        """
        images, features_d, features_r = zip(*window, strict=True)
        return self._restore(
            torch.stack(images, dim=1),
            stack_window(features_d),
            stack_window(features_r),
            strips,
        )

    def restore_window(self, inputs: Tensor, strips: Strips = WHOLE_FRAMES) -> Tensor:
        """Restore the centre frame of windows that are not part of a stream.

        Args:
            inputs (Tensor): Blurry LR frames, (N, T, 3, H, W), RGB in [0, 1].
            strips (Strips): How frames are cut.

        Returns:
            Tensor: Sharp HR frames, (N, 3, sH, sW), about [0, 1].
        """
        frames = inputs.flatten(0, 1)
        last = None

        # Level by level, so that only one level of a window exists at a time.
        def features_d() -> Iterable[Tensor]:
            nonlocal last
            for last in self.net_d.encode(frames, strips):  # noqa: UP028
                yield last

        def features_r() -> Iterable[Tensor]:
            yield from self.net_r.encode(frames, last, strips)

        num_frames = inputs.size(1)
        return self._restore(
            inputs,
            split_windows(features_d(), num_frames),
            split_windows(features_r(), num_frames),
            strips,
        )

    def embed_kernel_feature(self, kernel_feature: Tensor, strips: Strips) -> Tensor:
        """Embed degradation kernels, which are never computed as such, for NetR.

        Args:
            kernel_feature (Tensor): Of a :class:`Degradation`, (N, T, C/T, H, W).
            strips (Strips): How the frames are cut.

        Returns:
            Tensor: (N, T, C, H, W).
        """
        return self.net_r.embed_kernel_feature(
            kernel_feature, self.net_d.kernel_head, strips
        )

    def _restore(
        self,
        frames: Tensor,
        features_d: Iterable[Tensor],
        features_r: Iterable[Tensor],
        strips: Strips,
    ) -> Tensor:
        """NetD, then NetR, on the features of a window's levels, (N, T, C, H, W)."""
        degradation = self.net_d.refine(features_d, strips)
        kernels = self.embed_kernel_feature(degradation.kernel_feature, strips)
        flow_masks = degradation.flow_masks
        del degradation  # frees NetD's last features
        restoration = self.net_r.refine(frames, features_r, flow_masks, kernels, strips)
        return restoration.output
