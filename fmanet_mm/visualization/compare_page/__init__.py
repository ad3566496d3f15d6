from .page import ComparePage, write_compare_page

__all__ = ['ComparePage', 'write_compare_page']
