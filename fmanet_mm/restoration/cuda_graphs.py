"""CUDA graphs: the thousands of kernels of a frame started by one call."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from ..ops import Strips
from .memory import is_graphed, is_out_of_memory
from .protocol import LevelNetwork, WindowNetwork


class GraphedFunctions:
    """Functions of a network on a GPU, captured for frames of one size.

    A graph is captured with the second call for a size, and is released for another
    size. Large frames, those on strips, and all frames if capturing fails, are computed
    without.
    """

    def __init__(self) -> None:
        self._size: tuple | None = None
        self._calls: dict[Hashable, CapturedCall | None] = {}
        self._pool: tuple | None = None
        self._works, self._pays = True, False

    def follow(self, frame: Tensor, strips: Strips) -> None:
        """Release graphs of frames of another size, and those that strips replace."""
        size = frame.shape, frame.dtype, strips
        if size != self._size:
            self._size = size
            height, width = frame.shape[-2:]
            self._pays = is_graphed(height, width, strips)
            self.release()

    def release(self) -> None:
        """Release all graphs and their memory."""
        self._calls.clear()
        self._pool = None

    def call(
        self, key: Hashable, function: Callable[..., Any], argument: Any, strips: Strips
    ) -> Any:
        """Call a function.

        Args:
            key (Hashable): Names the function.
            function (Callable): Of the argument and strips.
            argument (Any): Tensors in any nesting of tuples and lists.
            strips (Strips): How the frames are cut.
        """
        if not (self._works and self._pays):
            return function(argument, strips)
        if key not in self._calls:
            # The first call measures, compiles and chooses algorithms.
            self._calls[key] = None
            return function(argument, strips)
        if self._calls[key] is None:
            try:
                self._calls[key] = self._capture(
                    lambda argument: function(argument, strips), argument
                )
            except RuntimeError as error:
                self._give_up(error)
                return function(argument, strips)
        return self._calls[key](argument)

    def _capture(self, function: Callable[[Any], Any], argument: Any) -> 'CapturedCall':
        # One after the other they can share the memory of what they compute between.
        if self._pool is None and torch.cuda.is_available():
            self._pool = torch.cuda.graph_pool_handle()
        return CapturedCall(function, argument, self._pool)

    def _give_up(self, error: RuntimeError) -> None:
        self._works = False
        self.release()
        torch.cuda.empty_cache()
        reason = 'memory ran out' if is_out_of_memory(error) else error
        print_log(f'frames are computed without CUDA graphs, which is slower: {reason}')


class GraphedNetwork:
    """A window network on a GPU whose functions are captured; a :class:`WindowNetwork`.

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
        self._graphs = GraphedFunctions()

    def encode(self, frame: Tensor, strips: Strips) -> Any:
        """See :meth:`WindowNetwork.encode`."""
        self._graphs.follow(frame, strips)
        return self._graphs.call('encode', self.network.encode, frame, strips)

    def refine(self, window: Sequence[Any], strips: Strips) -> Tensor:
        """See :meth:`WindowNetwork.refine`."""
        return self._graphs.call('refine', self.network.refine, tuple(window), strips)

    def release(self) -> None:
        """See :meth:`GraphedFunctions.release`."""
        self._graphs.release()


class GraphedLevels:
    """A level network on a GPU whose functions are captured; a :class:`LevelNetwork`.

    Args:
        network (LevelNetwork): In evaluation mode, on a GPU.

    Attributes:
        network (LevelNetwork): As given.
        num_levels (int): See :class:`LevelNetwork`.
        scale (int): See :class:`LevelNetwork`.
    """

    def __init__(self, network: LevelNetwork) -> None:
        self.network = network
        self.num_levels = network.num_levels
        self.scale = network.scale
        self.beyond_end = network.beyond_end
        self._graphs = GraphedFunctions()

    def encode(self, frame: Tensor, strips: Strips) -> Any:
        """See :meth:`LevelNetwork.encode`."""
        self._graphs.follow(frame, strips)
        return self._graphs.call('encode', self.network.encode, frame, strips)

    def advance(
        self,
        level: int,
        state: Any,
        previous: Tensor,
        following: Tensor,
        strips: Strips,
    ) -> Any:
        """See :meth:`LevelNetwork.advance`."""

        def advance(argument: tuple[Any, Tensor, Tensor], strips: Strips) -> Any:
            return self.network.advance(level, *argument, strips)

        argument = state, previous, following
        return self._graphs.call(('advance', level), advance, argument, strips)

    def decode(self, state: Any, strips: Strips) -> Tensor:
        """See :meth:`LevelNetwork.decode`."""
        return self._graphs.call('decode', self.network.decode, state, strips)


class CapturedCall:
    """A function that was captured for arguments of certain shapes.

    Args:
        function (Callable): Of tensors on a GPU, and None, in any nesting of tuples and
            lists.
        argument (Any): The first argument; later ones have its shapes.
        pool (tuple, optional): Memory that calls share which are not made at once.

    Raises:
        RuntimeError: If memory runs out, or something cannot be captured.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        argument: Any,
        pool: tuple | None = None,
    ) -> None:
        self._argument = clone_tensors(argument)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads, which decode and encode, may use the GPU meanwhile.
        with torch.cuda.graph(self._graph, pool, capture_error_mode='thread_local'):
            self._result = function(self._argument)

    def __call__(self, argument: Any) -> Any:
        """Compute; the result is not overwritten by later calls."""
        torch._foreach_copy_(_tensors(self._argument), _tensors(argument))
        self._graph.replay()
        return clone_tensors(self._result)


def clone_tensors(tree: Any) -> Any:
    """Copies of the tensors in a nesting of tuples and lists."""
    return tree_map_only(Tensor, torch.clone, tree)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
