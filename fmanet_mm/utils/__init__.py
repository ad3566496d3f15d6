from .paths import config_root

__all__ = ['config_root']
