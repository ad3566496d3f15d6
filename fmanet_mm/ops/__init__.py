"""Operations of which networks are built: dynamic filters, warps, strips, padding."""

from .deformable import modulated_deform_conv
from .dynamic_filter import dynamic_filter, dynamic_filter_reference
from .filter_adaptive import filter_adaptive_conv, filter_adaptive_conv_reference
from .padding import pad_to_multiple
from .strips import WHOLE_FRAMES, Strips
from .warp import flow_warp, frame_rows, masked_warp, split_groups, warp_groups

__all__ = [
    'WHOLE_FRAMES',
    'Strips',
    'dynamic_filter',
    'dynamic_filter_reference',
    'filter_adaptive_conv',
    'filter_adaptive_conv_reference',
    'flow_warp',
    'frame_rows',
    'masked_warp',
    'modulated_deform_conv',
    'pad_to_multiple',
    'split_groups',
    'warp_groups',
]
