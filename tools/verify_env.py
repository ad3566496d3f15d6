"""Import the dependencies; the first broken one is named by its error.

python tools/verify_env.py [light]
"""

import sys

import av
import cv2
import mmengine
import torch

import fmanet_mm
import fmanet_mm.restoration

modules = [torch, cv2, av, mmengine, fmanet_mm]

if sys.argv[1:] != ['light']:
    import fmanet_mm.openmmlab  # noqa: I001  (makes the imports below possible)
    import mmagic
    import mmcv
    import mmcv.ops
    import torchvision

    from fmanet_mm.compat.mmflow import import_mmflow

    modules += [torchvision, mmcv, mmagic, import_mmflow()]

    # With no offsets, a deformable convolution is an ordinary one.
    conv = mmcv.ops.DeformConv2d(3, 4, 3, padding=1)
    image, offset = torch.rand(1, 3, 8, 8), torch.zeros(1, 18, 8, 8)
    expected = torch.nn.functional.conv2d(image, conv.weight, padding=1)
    torch.testing.assert_close(conv(image, offset), expected)

for module in modules:
    print(module.__name__, module.__version__)
