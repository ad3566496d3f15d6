"""The losses of HOFFR."""

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor

from ...common.layers import per_frame
from ..recurrent import RecurrentModel
from .pyramid_flow import warp_previous


@MODELS.register_module()
class HOFFRModel(RecurrentModel):
    """Trains :class:`HOFFR` with its losses on deblurred frames and on the flow.

    The flow warps the sharp frame before a frame, which is compared with the sharp
    frame: at the HR size, at the LR size and at half of it. Sharp LR frames are the
    sharp HR frames, shrunk bicubically.

    Args:
        generator (dict): Config of a :class:`HOFFR`.
        **base: Arguments of :class:`VSRDBModel`. The losses are ``restoration``,
            ``deblurring``, ``flow_high``, ``flow_low`` and ``flow_half``.
    """

    loss_names = ('restoration', 'deblurring', 'flow_high', 'flow_low', 'flow_half')

    def forward_train(self, inputs: Tensor, data_samples) -> dict[str, Tensor]:
        """Compute the losses; see :meth:`RecurrentModel.forward_train`."""
        sharp = self.targets(inputs, data_samples)['gt_img']
        sharp_low = per_frame(self._shrink, sharp)
        sharp_half = per_frame(lambda frames: F.avg_pool2d(frames, 2), sharp_low)
        steps = list(self.generator.unroll(inputs))
        pairs = dict(
            restoration=(torch.stack([step.output for step in steps], 1), sharp),
            deblurring=(torch.stack([step.deblurred for step in steps], 1), sharp_low),
        )
        flows = [step.flow for step in steps[1:]]
        for name, frames in dict(high=sharp, low=sharp_low, half=sharp_half).items():
            flow = torch.stack([getattr(flow, name) for flow in flows], 1)
            warped = warp_previous(frames[:, :-1].flatten(0, 1), flow.flatten(0, 1))
            pairs[f'flow_{name}'] = warped, frames[:, 1:].flatten(0, 1)
        return self.compute_losses(pairs)

    def _shrink(self, frames: Tensor) -> Tensor:
        return F.interpolate(
            frames,
            scale_factor=1 / self.generator.scale,
            mode='bicubic',
            antialias=True,
        )
