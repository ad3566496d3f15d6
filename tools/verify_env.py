"""Import the dependencies; the first broken one is named by its error."""

import cv2
import mmagic.apis
import mmcv
import mmcv.ops
import mmengine
import torch
import torchvision

import fmanet_mm
from fmanet_mm.compat.mmflow import import_mmflow

mmflow = import_mmflow()
for module in (torch, torchvision, cv2, mmengine, mmcv, mmagic, mmflow, fmanet_mm):
    print(module.__name__, module.__version__)

boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9]])
_, kept = mmcv.ops.nms(boxes, torch.tensor([0.5, 0.9]), iou_threshold=0.5)
assert kept.tolist() == [1], 'the compiled operators of mmcv give wrong results'
