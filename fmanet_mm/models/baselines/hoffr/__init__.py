"""A reconstruction of HOFFR, the first network for the task (Neurocomputing 489, 2022).

Its text and weights are not public. What is known of it: a pyramid gives the flow from
the previous to the current frame at HR size; the previous output, warped by it, is used
for the current frame; two parallel branches, super-resolution and deblurring, gather
the outputs of all their residual blocks and are fused by channel attention; the
deblurred LR frame and the flow have losses of their own.

The rest is filled in from the networks it builds on, SOF-VSR (the flow) and FRVSR (the
recurrence), with sizes that give its 3.5 M parameters. Figures measured with this
network are not HOFFR's.
"""

from .hoffr import HOFFR, HOFFRState, HOFFRStep
from .model import HOFFRModel
from .pyramid_flow import PyramidFlow, PyramidFlowNet

__all__ = [
    'HOFFR',
    'HOFFRModel',
    'HOFFRState',
    'HOFFRStep',
    'PyramidFlow',
    'PyramidFlowNet',
]
