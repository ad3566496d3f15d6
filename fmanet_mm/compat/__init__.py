"""Workarounds for importing OpenMMLab's packages together, one module per problem.

:func:`prepare_openmmlab` does everything that must come before their import.
"""

from .installation import check_installation, explained_imports

__all__ = ['explained_imports', 'prepare_openmmlab']

_is_prepared = False


def prepare_openmmlab() -> None:
    """Check the installation, then make MMagic and mmcv importable.

    Call it before anything imports them. Only the first call does anything.

    Raises:
        ImportError: If something is missing, broken or of a wrong version; the message
            has the command that mends it.
    """
    global _is_prepared
    if _is_prepared:
        return
    check_installation()
    # These import torch and torchvision, which have just been checked.
    from .mmcv_ops import provide_mmcv_ops
    from .numpy_names import provide_numpy_names

    provide_numpy_names()
    provide_mmcv_ops()
    _is_prepared = True
