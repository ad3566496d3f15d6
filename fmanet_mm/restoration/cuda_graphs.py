"""CUDA graphs: the thousands of kernels of a frame started by one call."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from ..ops import Strips
from .memory import is_out_of_memory
from .protocol import WindowNetwork


class GraphedNetwork:
    """A window network on a GPU whose functions are captured; a :class:`WindowNetwork`.

    A graph is captured with the second frame of a size, and is released for another
    size. Frames on strips, and all frames if capturing fails, are computed without.

    Args:
        network (WindowNetwork): In evaluation mode, on a GPU.

    Attributes:
        network (WindowNetwork): As given.
        num_frames (int): See :class:`WindowNetwork`.
        scale (int): See :class:`WindowNetwork`.
    """

    def __init__(self, network: WindowNetwork) -> None:
        self.network = network
        self.num_frames = network.num_frames
        self.scale = network.scale
        self._functions = dict(encode=network.encode, refine=network.refine)
        self._size: tuple | None = None
        self._calls: dict[str, CapturedCall | None] = {}
        self._works = True

    def encode(self, frame: Tensor, strips: Strips) -> Any:
        """See :meth:`WindowNetwork.encode`."""
        self._follow(frame, strips)
        return self._call('encode', frame, strips)

    def refine(self, window: Sequence[Any], strips: Strips) -> Tensor:
        """See :meth:`WindowNetwork.refine`."""
        return self._call('refine', tuple(window), strips)

    def _follow(self, frame: Tensor, strips: Strips) -> None:
        """Release graphs of frames of another size, and those that strips replace."""
        size = frame.shape, frame.dtype, strips
        if size != self._size:
            self._size = size
            self._calls.clear()

    def _call(self, name: str, argument: Any, strips: Strips) -> Any:
        function = self._functions[name]
        if not self._works or strips.rows is not None:
            return function(argument, strips)
        if name not in self._calls:
            # The first call measures, compiles and chooses algorithms.
            self._calls[name] = None
            return function(argument, strips)
        if self._calls[name] is None:
            try:
                self._calls[name] = CapturedCall(
                    lambda argument: function(argument, strips), argument
                )
            except RuntimeError as error:
                self._give_up(error)
                return function(argument, strips)
        return self._calls[name](argument)

    def _give_up(self, error: RuntimeError) -> None:
        self._works = False
        self._calls.clear()
        torch.cuda.empty_cache()
        reason = 'memory ran out' if is_out_of_memory(error) else error
        print_log(f'frames are computed without CUDA graphs, which is slower: {reason}')


class CapturedCall:
    """A function that was captured for arguments of certain shapes.

    Args:
        function (Callable): Of tensors on a GPU in any nesting of tuples and lists.
        argument (Any): The first argument; later ones have its shapes.

    Raises:
        RuntimeError: If memory runs out, or something cannot be captured.
    """

    def __init__(self, function: Callable[[Any], Any], argument: Any) -> None:
        self._argument = tree_map(torch.clone, argument)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads, which decode and encode, may use the GPU meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode='thread_local'):
            self._result = function(self._argument)

    def __call__(self, argument: Any) -> Any:
        """Compute; the result is not overwritten by later calls."""
        torch._foreach_copy_(tree_leaves(self._argument), tree_leaves(argument))
        self._graph.replay()
        return tree_map(torch.clone, self._result)
