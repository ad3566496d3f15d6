"""Restoring streams level by level, without computing anything twice."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from ..ops import WHOLE_FRAMES, Strips
from ..ops.live_bytes import LiveBytes
from ..utils.levels import restore_by_levels
from ..utils.windows import check_frames
from .adapters import RESTORERS
from .cuda_graphs import GraphedLevels
from .memory import FirstStrips, frame_without_data, is_graphed, without_data
from .protocol import LevelNetwork
from .streaming import StripedRestorer


@torch.no_grad()
def level_peak_bytes(
    network: LevelNetwork,
    height: int,
    width: int,
    strips: Strips = WHOLE_FRAMES,
    dtype: torch.dtype = torch.float32,
    graphs: bool = False,
) -> int:
    """Most bytes of tensors alive at once while a video is restored by levels.

    Every level keeps a frame and the feature of the one before it, and the level that
    is computed the next frame besides; the caller has the last output. Found by a frame
    without data, see :func:`~fmanet_mm.restoration.memory.streaming_peak_bytes`.

    Args:
        network (LevelNetwork): The network.
        height (int): Height of the LR frames.
        width (int): Their width.
        strips (Strips): On which they are computed.
        dtype (torch.dtype): Of the features; under autocast, autocast's.
        graphs (bool): Whether small frames are computed by CUDA graphs, which keep
            arguments and results of their own.

    Returns:
        int: Bytes.
    """
    copies = 2 if graphs and is_graphed(height, width, strips) else 1
    network = without_data(network, dtype)
    first = FirstStrips(strips.rows)
    with LiveBytes() as made:
        state = network.encode(frame_without_data(height, width, dtype), first)
    kept, most = 0, made.peak
    for level in range(network.num_levels):
        beyond = network.beyond_end(state.feature)
        with LiveBytes() as made:
            advanced = network.advance(level, state, beyond, beyond, first)
        kept += copies * (_nbytes(state.feature) + _nbytes(*state))
        kept += (copies - 1) * (_nbytes(state.feature) + _nbytes(*advanced))
        most = max(most, _nbytes(*state) + made.peak)
        state = advanced
    with LiveBytes() as made:
        kept += copies * _nbytes(network.decode(state, first))
    return kept + max(most, _nbytes(*state) + made.peak)


def _nbytes(*tensors: Tensor | None) -> int:
    storages = {
        storage._cdata: storage.nbytes()
        for storage in (x.untyped_storage() for x in tensors if x is not None)
    }
    return sum(storages.values())


@RESTORERS.register_module()
class LevelRestorer(StripedRestorer):
    """Restores clips of any length in constant memory; a :class:`ClipRestorer`.

    The output is that of the whole clip at once. It comes L frames late, and nothing is
    computed twice; only a frame that is not finite in half precision is restored again
    in float32, from the frames that it depends on.

    Args:
        network (LevelNetwork): In evaluation mode.
        **settings: Of :class:`StripedRestorer`: ``memory_budget``, ``autocast_dtype``.

    Attributes:
        context (int): L.

    Raises:
        ValueError: If the network has no levels, or the budget is not positive.
    """

    measure = staticmethod(level_peak_bytes)
    graphed = GraphedLevels

    def __init__(self, network: LevelNetwork, **settings: Any) -> None:
        if not hasattr(network, 'advance'):
            raise ValueError(
                f'{type(network).__name__} does not restore frames level by level; '
                'leave restorer out of the config, or name the one of its kind'
            )
        super().__init__(network, **settings)
        self.context = network.num_levels

    @torch.inference_mode()
    def restore(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """See :meth:`ClipRestorer.restore`."""
        recent = _Recent(self.plan(check_frames(frames)), 2 * self.context + 1)
        restored = restore_by_levels(self.computing, recent, self.compute)
        for index, frame in enumerate(restored):
            if self.is_half and not frame.isfinite().all():
                with self.in_float32():
                    frame = self._restore_again(recent, index)
            yield frame.squeeze(0)

    def _restore_again(self, recent: '_Recent', index: int) -> Tensor:
        clip = restore_by_levels(self.computing, list(recent.frames), self.compute)
        return next(islice(clip, index - recent.first, None))


class _Recent:
    """Passes frames on as batches, (1, 3, H, W), and keeps the last ones.

    Args:
        frames (Iterable[Tensor]): Each (3, H, W).
        number (int): Frames to keep.

    Attributes:
        frames (deque[Tensor]): The last ones.
        first (int): Index of the first of them.
    """

    def __init__(self, frames: Iterable[Tensor], number: int) -> None:
        self._source = frames
        self.frames = deque(maxlen=number)
        self.first = 0

    def __iter__(self) -> Iterator[Tensor]:
        for index, frame in enumerate(self._source):
            self.frames.append(frame.unsqueeze(0))
            self.first = index + 1 - len(self.frames)
            yield self.frames[-1]
