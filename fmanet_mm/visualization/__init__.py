from .compare_page import ComparePage, write_compare_page
from .comparison import draw_comparison, most_moving_pixel

__all__ = [
    'ComparePage',
    'draw_comparison',
    'most_moving_pixel',
    'write_compare_page',
]
