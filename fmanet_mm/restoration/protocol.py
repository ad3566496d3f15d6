"""The seam between videos and networks.

Code that reads, writes, plans, resumes or compares videos knows a
:class:`ClipRestorer`. A network becomes one in either of two ways: it is a
:class:`WindowNetwork`, which :class:`~fmanet_mm.restoration.StreamingRestorer` applies
to streams, or a :class:`LevelNetwork`, which
:class:`~fmanet_mm.restoration.LevelRestorer` does; or its config names an adapter in
``restorer``, see ``docs/add_a_network.md``.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ..ops import Strips
from ..utils.motion import LearnedDegradation


class ClipRestorer(Protocol):
    """Restores clips frame by frame.

    One that computes several frames at once has a method ``period(height, width)``: an
    output is the same to the last bit if its clip begins a multiple of this number of
    frames earlier or later. Without the method it may begin anywhere.

    Attributes:
        scale (int): Ratio of the output's size to the input's, s.
        context (int, optional): Frames on either side that an output depends on; None:
            the whole clip.
        device (torch.device): Where frames have to be and outputs are.
    """

    scale: int
    context: int | None
    device: torch.device

    def restore(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Restore a clip.

        Each call is a clip of its own: no output depends on the frames of another.

        Args:
            frames (Iterable[Tensor]): Frames in order, each (3, H, W), RGB in [0, 1],
                float32.

        Yields:
            Tensor: For every frame the restored one, (3, sH, sW), about [0, 1].

        Raises:
            ValueError: If a frame has another shape than (3, H, W) or than the first,
                or is too small for the network.
        """
        ...

    def peak_bytes(self, height: int, width: int) -> int | None:
        """Most bytes of tensors alive at once, weights not counted.

        Args:
            height (int): Rows of a frame, H.
            width (int): Its columns, W.

        Returns:
            int | None: None if it is not known.
        """
        ...


class WindowNetwork(Protocol):
    """Restores the centre frame of a window, encoding each frame once.

    A network that sets ``takes_batches`` to True encodes N frames and refines N windows
    in one call, each as it does alone; its encoded frames are tensors, (N, ...), in any
    nesting of tuples and lists. Others are called with N = 1 only.

    Attributes:
        num_frames (int): Frames of a window, T; odd.
        scale (int): Ratio of the output's size to the input's, s.
    """

    num_frames: int
    scale: int

    def __call__(self, window: Tensor) -> Tensor:
        """Restore the centre of a window, (1, T, 3, H, W), to (1, 3, sH, sW)."""
        ...

    def encode(self, frame: Tensor, strips: Strips) -> Any:
        """Compute from (N, 3, H, W) what does not depend on the neighbours."""
        ...

    def refine(self, window: Sequence[Any], strips: Strips) -> Tensor:
        """Restore the centres of T encoded batches of frames, (N, 3, sH, sW)."""
        ...


class LevelState(Protocol):
    """What a :class:`LevelNetwork` knows of frames on a level.

    A named tuple of tensors, (N, ...) for N frames, and None.

    Attributes:
        feature (Tensor): What the frame's neighbours read.
    """

    feature: Tensor


class LevelNetwork(Protocol):
    """Restores frames level by level, each from a frame and its two neighbours.

    A level reads what the level before knows of the neighbours, so an output depends on
    ``num_levels`` frames on either side, and no frame has to wait for another of its
    own level.

    Attributes:
        num_levels (int): Levels, L.
        scale (int): Ratio of the output's size to the input's, s.
    """

    num_levels: int
    scale: int

    def encode(self, frame: Tensor, strips: Strips) -> Any:
        """Compute the :class:`LevelState` of (1, 3, H, W) on level 0."""
        ...

    def advance(
        self,
        level: int,
        state: Any,
        previous: Tensor,
        following: Tensor,
        strips: Strips,
    ) -> Any:
        """Bring a frame to the next level.

        Args:
            level (int): The level it is on, 0 to L - 1.
            state (LevelState): Of the frame.
            previous (Tensor): Feature of the previous frame on this level, or
                :meth:`beyond_end`.
            following (Tensor): Feature of the following frame, likewise.
            strips (Strips): On which large frames are computed.

        Returns:
            LevelState: On the next level.
        """
        ...

    def beyond_end(self, feature: Tensor) -> Tensor:
        """What a neighbour beyond an end of a clip is replaced by, for a feature."""
        ...

    def decode(self, state: Any, strips: Strips) -> Tensor:
        """Compute the image of a frame on level L, (1, 3, sH, sW)."""
        ...


class RecurrentNetwork(Protocol):
    """Restores a clip frame by frame, from the frame and what came before it.

    Attributes:
        scale (int): Ratio of the output's size to the input's, s.
    """

    scale: int

    def step(
        self, frame: Tensor, state: Any | None, strips: Strips
    ) -> tuple[Tensor, Any]:
        """Restore the next frame of a clip.

        Args:
            frame (Tensor): (1, 3, H, W).
            state (Any, optional): What the step before returned, a tuple of tensors;
                None at the first frame of a clip.
            strips (Strips): On which large frames are computed.

        Returns:
            tuple[Tensor, Any]: The restored frame, (1, 3, sH, sW), and the state.
        """
        ...


@runtime_checkable
class LearnsDegradation(Protocol):
    """A window network that shows the degradation it has estimated."""

    num_frames: int

    def estimate_degradation(self, window: Tensor) -> LearnedDegradation:
        """Estimate the degradation of a window, (T, 3, H, W), RGB in [0, 1]."""
        ...
