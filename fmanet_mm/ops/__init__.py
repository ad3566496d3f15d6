from .dynamic_filter import dynamic_filter, dynamic_filter_reference
from .warp import flow_warp, masked_warp, multi_flow_warp

__all__ = [
    'dynamic_filter',
    'dynamic_filter_reference',
    'flow_warp',
    'masked_warp',
    'multi_flow_warp',
]
