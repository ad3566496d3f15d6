from .compare_page import ComparePage, write_compare_page
from .comparison import draw_comparison

__all__ = ['ComparePage', 'draw_comparison', 'write_compare_page']
