"""Making and checking sets on disk before training."""

from ..compat import prepare_openmmlab

prepare_openmmlab()
