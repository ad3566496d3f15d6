"""How many bytes of tensors a call holds at once."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

_GRID_SAMPLER = torch.ops.aten.grid_sampler_2d.default


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that are made and still alive under it.

    What an operation allocates for itself alone is not seen. Works for fake and meta
    tensors too, which take no memory.

    Attributes:
        peak (int): The most there were, in bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._live = 0
        self._known = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        for storage in self._storages((args, kwargs)):
            self._know(storage, 0)
        if func is _GRID_SAMPLER and args[0].is_meta:
            # PyTorch would run through all of its parts, which takes a long time.
            x, grid = args[:2]
            out = x.new_empty((*x.shape[:2], *grid.shape[1:3]))
        else:
            out = func(*args, **(kwargs or {}))
        for storage in self._storages(out):
            self._know(storage, storage.nbytes())
        return out

    @staticmethod
    def _storages(tree):
        for leaf in tree_iter(tree):
            if isinstance(leaf, torch.Tensor):
                yield leaf.untyped_storage()

    def _know(self, storage: torch.UntypedStorage, nbytes: int) -> None:
        key = storage._cdata
        if key not in self._known:
            self._known.add(key)
            self._live += nbytes
            self.peak = max(self.peak, self._live)
            weakref.finalize(storage, self._forget, key, nbytes)

    def _forget(self, key: int, nbytes: int) -> None:
        self._known.discard(key)
        self._live -= nbytes
