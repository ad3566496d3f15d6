"""The door to OpenMMLab: importing it registers all parts of the project.

Configs name it in ``custom_imports``.
"""

import warnings

from .compat import explained_imports, prepare_openmmlab

prepare_openmmlab()
with explained_imports(), warnings.catch_warnings():
    # MMagic's requirements warn of one another, which no user can change.
    warnings.simplefilter('ignore')
    from . import apis, datasets, engine, evaluation, flow, models  # noqa: F401

apis.register_inferencer()
