"""The door to OpenMMLab: importing it registers all parts of the project.

Configs name it in ``custom_imports``.
"""

import warnings

from .compat.mmcv_ops import provide_mmcv_ops

provide_mmcv_ops()
with warnings.catch_warnings():
    # MMagic's requirements warn of one another, which no user can change.
    warnings.simplefilter('ignore')
    from . import apis, datasets, engine, evaluation, flow, models  # noqa: F401

apis.register_inferencer()
