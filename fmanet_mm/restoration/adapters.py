"""Adapters that turn a function of a window or a clip into a clip restorer.

A config names one in ``restorer``, such as
``restorer = dict(type='WindowRestorer', num_frames=5, scale=4)``; its other arguments
come from the command.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import torch
from mmengine.registry import Registry
from torch import Tensor, nn

from ..ops import Strips, pad_to_multiple
from ..utils.windows import check_frames
from .streaming import StreamingRestorer, device_of

RESTORERS = Registry('restorer', locations=['fmanet_mm.restoration'])
"""Callables of (network, **settings) that give a clip restorer."""

RESTORERS.register_module(module=StreamingRestorer)


def default_restorer(network: object) -> dict[str, str]:
    """Config of the restorer of a network whose own config names none."""
    by_levels = hasattr(network, 'advance')
    return dict(type='LevelRestorer' if by_levels else 'StreamingRestorer')


class WindowFunction(nn.Module):
    """A function of whole windows as a :class:`WindowNetwork`.

    Args:
        function (nn.Module): Maps (1, T, 3, H, W), RGB in [0, 1], to (1, 3, sH, sW), or
            to a tuple that begins with it.
        num_frames (int): Frames of a window, T; odd.
        scale (int): Ratio of the output's size to the input's, s.
        multiple (int): Height and width must be multiples of it. Other frames are
            padded below and on the right by their border, and the output is cropped.
        min_size (int): Least height and width.
    """

    def __init__(
        self,
        function: nn.Module,
        num_frames: int,
        scale: int,
        multiple: int = 1,
        min_size: int = 1,
    ) -> None:
        super().__init__()
        self.function = function
        self.num_frames = num_frames
        self.scale = scale
        self.multiple = multiple
        self.min_size = min_size

    def encode(self, frame: Tensor, strips: Strips) -> Tensor:
        """Nothing is computed per frame, which is only checked.

        Raises:
            ValueError: If it is too small.
        """
        check_min_size(frame, self.min_size, self.function)
        return frame

    def refine(self, window: Sequence[Tensor], strips: Strips) -> Tensor:
        """Restore the centre frame; frames are never cut into strips."""
        height, width = window[0].shape[-2:]
        padded = pad_to_multiple(torch.stack(tuple(window), dim=1), self.multiple)
        restored = self.function(padded)
        if isinstance(restored, tuple):
            restored = restored[0]
        return restored[..., : self.scale * height, : self.scale * width]


@RESTORERS.register_module(name='WindowRestorer')
def window_restorer(
    network: nn.Module,
    num_frames: int,
    scale: int,
    multiple: int = 1,
    min_size: int = 1,
    **settings,
) -> StreamingRestorer:
    """Restore by a function of windows; see :class:`WindowFunction`.

    Args:
        network (nn.Module): The function.
        num_frames (int): See :class:`WindowFunction`.
        scale (int): See :class:`WindowFunction`.
        multiple (int): See :class:`WindowFunction`.
        min_size (int): See :class:`WindowFunction`.
        **settings: Of :class:`StreamingRestorer`.
    """
    function = WindowFunction(network, num_frames, scale, multiple, min_size)
    return StreamingRestorer(function, **settings)


@RESTORERS.register_module()
class SequenceRestorer:
    """Restores by a function of whole clips, such as a recurrent network.

    All frames of a clip are in memory at once.

    Args:
        network (nn.Module): Maps (1, T, 3, H, W), RGB in [0, 1], to
            (1, T, 3, sH, sW), for any T.
        scale (int): Ratio of the output's size to the input's, s.
        max_frames (int, optional): Longer clips are restored in parts of this length,
            which changes the frames near the seams. By default clips stay whole.
        multiple (int): See :class:`WindowFunction`.
        min_size (int): See :class:`WindowFunction`.
        memory_budget (float, optional): Must be None: the memory depends on the clip.
        autocast_dtype (torch.dtype, optional): Type to compute in under autocast.

    Raises:
        ValueError: If a memory budget is given.
    """

    context = None

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        scale: int,
        max_frames: int | None = None,
        multiple: int = 1,
        min_size: int = 1,
        memory_budget: float | None = None,
        autocast_dtype: torch.dtype | None = None,
    ) -> None:
        if memory_budget is not None:
            raise ValueError(
                'a network that restores whole clips cannot keep to a memory budget; '
                'leave it out, and give short clips'
            )
        self.network = network
        self.scale = scale
        self.device = device_of(network)
        self.max_frames = max_frames
        self.multiple = multiple
        self.min_size = min_size
        self._autocast_dtype = autocast_dtype

    @torch.inference_mode()
    def restore(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """See :meth:`ClipRestorer.restore`."""
        frames = iter(check_frames(frames))
        while clip := list(islice(frames, self.max_frames)):
            check_min_size(clip[0], self.min_size, self.network)
            height, width = (self.scale * n for n in clip[0].shape[-2:])
            padded = pad_to_multiple(torch.stack(clip).unsqueeze(0), self.multiple)
            restored = self._compute(padded, self._autocast_dtype)
            if self._autocast_dtype is not None and not restored.isfinite().all():
                restored = self._compute(padded, None)
            yield from restored[0, ..., :height, :width]

    def peak_bytes(self, height: int, width: int) -> None:
        """Not known, for it depends on the clip's length."""

    def _compute(self, clip: Tensor, dtype: torch.dtype | None) -> Tensor:
        with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
            return self.network(clip)


def check_min_size(frame: Tensor, min_size: int, network: object) -> None:
    """Raise a ValueError if a frame is too small for a network."""
    height, width = frame.shape[-2:]
    if min(height, width) < min_size:
        raise ValueError(
            f'{type(network).__name__} needs frames of at least {min_size}x{min_size} '
            f'pixels, got {width}x{height}; enlarge or pad them, or use another network'
        )
