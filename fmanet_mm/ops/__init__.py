from .dynamic_filter import dynamic_filter, dynamic_filter_reference
from .strips import by_strips, fast_strip_rows, fast_strips, split_rows, strips
from .warp import (
    flow_warp,
    frame_rows,
    masked_warp,
    multi_flow_warp,
    split_groups,
    warp_groups,
)

__all__ = [
    'by_strips',
    'dynamic_filter',
    'dynamic_filter_reference',
    'fast_strip_rows',
    'fast_strips',
    'flow_warp',
    'frame_rows',
    'masked_warp',
    'multi_flow_warp',
    'split_groups',
    'split_rows',
    'strips',
    'warp_groups',
]
