"""A GPU that is not there: fake tensors have a device, and no numbers.

An operation on tensors of two devices fails as it would on a GPU. Autograd's threads
want a true one, so gradients are left out.
"""

from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

GPU = torch.device('cuda', 0)


@contextmanager
def fake_gpu():
    # cuDNN's warp cannot be followed without computing it.
    cudnn = torch.backends.cudnn.flags(enabled=False)
    # A copied fake tensor would be of a mode of its own.
    same_mode = patch.object(
        FakeTensorMode, '__deepcopy__', lambda self, memo: self, create=True
    )
    with cudnn, same_mode, FakeTensorMode(), GPU:
        yield
