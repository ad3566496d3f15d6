"""What mmcv's compiled operators would supply, without a compiler."""

import importlib.machinery
import importlib.util
import sys
import types


class _Operators(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)

        def missing(*args, **kwargs):
            raise RuntimeError(f'mmcv was installed without its operator {name}')

        return missing


def provide_mmcv_ops() -> None:
    """Stand in for ``mmcv._ext`` where mmcv was installed without it."""
    if 'mmcv._ext' in sys.modules:
        return
    module = _Operators('mmcv._ext')
    module.__spec__ = importlib.machinery.ModuleSpec('mmcv._ext', None)
    sys.modules['mmcv._ext'] = module
