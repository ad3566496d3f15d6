"""Restoring streams by recurrent networks, which carry a state from frame to frame."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from ..ops import WHOLE_FRAMES, Strips, pad_to_multiple
from ..utils.windows import check_frames
from .adapters import RESTORERS, check_min_size
from .memory import recurrent_peak_bytes
from .protocol import RecurrentNetwork
from .streaming import StripedRestorer


@RESTORERS.register_module()
class RecurrentRestorer(StripedRestorer):
    """Restores clips of any length in constant memory; a :class:`ClipRestorer`.

    Every frame is restored from itself and the state that the frame before it left.
    Each clip begins without a state, so nothing is carried over a cut. A resumed run
    restores again what is already written, as the state needs it.

    Frames stay whole unless the memory does not suffice for them; then they are
    computed on strips by networks that can. A step that is not finite in half precision
    is computed again in float32.

    Args:
        network (RecurrentNetwork): In evaluation mode.
        multiple (int): Height and width must be multiples of it. Other frames are
            padded below and on the right by their border, and the output is cropped.
        min_size (int): Least height and width.
        memory_budget (float, optional): See :class:`StripedRestorer`.
        autocast_dtype (torch.dtype, optional): See :class:`StripedRestorer`.

    Raises:
        ValueError: If the network is not recurrent, or the budget is not positive.
    """

    context = None

    def __init__(
        self,
        network: RecurrentNetwork,
        multiple: int = 1,
        min_size: int = 1,
        memory_budget: float | None = None,
        autocast_dtype: torch.dtype | None = None,
    ) -> None:
        if not hasattr(network, 'step'):
            raise ValueError(
                f'{type(network).__name__} carries no state from frame to frame; name '
                'the restorer of its kind in the config, such as WindowRestorer'
            )
        super().__init__(network, memory_budget, autocast_dtype)
        self.multiple = multiple
        self.min_size = min_size

    @torch.inference_mode()
    def restore(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """See :meth:`ClipRestorer.restore`."""
        state = None
        for frame in self.plan(check_frames(frames)):
            check_min_size(frame, self.min_size, self.network)
            height, width = (self.scale * n for n in frame.shape[1:])
            padded = pad_to_multiple(frame[None, None], self.multiple)[:, 0]
            restored, state = self._step(padded, state)
            yield restored[0, ..., :height, :width]

    def measure(
        self, network: RecurrentNetwork, height: int, width: int, *settings: Any
    ) -> int:
        """See :func:`recurrent_peak_bytes`; of padded frames."""
        padded = (n + -n % self.multiple for n in (height, width))
        return recurrent_peak_bytes(network, *padded, *settings)

    def fastest_strips(self, height: int, width: int) -> Strips:
        """Whole frames."""
        return WHOLE_FRAMES

    def _step(self, frame: Tensor, state: Any) -> tuple[Tensor, Any]:
        result = self.compute(self.prepared.step, frame, state)
        if self.is_half and not _all_finite(result):
            with self.in_float32():
                state = None if state is None else tree_map(Tensor.float, state)
                result = self.compute(self.prepared.step, frame, state)
        return result


def _all_finite(tree: Any) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in tree_leaves(tree))
