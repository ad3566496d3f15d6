from .compare_page import ComparePage, write_compare_page
from .comparison import draw_comparison
from .curves import draw_curves, read_log
from .internals import draw_features, draw_flows, draw_kernels
from .panels import most_moving_pixel

__all__ = [
    'ComparePage',
    'draw_comparison',
    'draw_curves',
    'draw_features',
    'draw_flows',
    'draw_kernels',
    'most_moving_pixel',
    'read_log',
    'write_compare_page',
]
