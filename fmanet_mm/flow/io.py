"""Flow files: one numpy array of shape (H, W, 2), x then y, in pixels."""

import os
from pathlib import Path

import numpy as np

from ..utils.files import atomic_write


def flow_filename(i_stem: str, j_stem: str) -> str:
    """Name of the file that holds the flow from frame ``i`` to frame ``j``.

    Args:
        i_stem (str): File stem of the frame where the flow starts, ``'00000005'``.
        j_stem (str): File stem of the frame the flow points to.

    Returns:
        str: ``'00000005_00000004.npy'``.
    """
    return f'{i_stem}_{j_stem}.npy'


def save_flow(
    path: str | os.PathLike,
    flow: np.ndarray,
    dtype: str | np.dtype | type = 'float16',
) -> None:
    """Write a flow file, completely or not at all.

    Args:
        path (str | PathLike): File to write; its folder is created if missing.
        flow (np.ndarray): Flow of shape (H, W, 2), x then y, in pixels.
        dtype: ``'float16'`` or ``'float32'``.

    Raises:
        ValueError: On another dtype, another shape, or values that are not finite
            in that dtype.
    """
    path = Path(path)
    if np.dtype(dtype) not in (np.float16, np.float32):
        raise ValueError(f'dtype of {path} must be float16 or float32, got {dtype!r}')
    with np.errstate(over='ignore'):
        flow = np.asarray(flow).astype(dtype)
    _check_flow(path, flow)

    with atomic_write(path) as draft, open(draft, 'wb') as file:
        np.save(file, flow)


def load_flow(
    path: str | os.PathLike, shape: tuple[int, int] | None = None
) -> np.ndarray:
    """Read and check a flow file.

    Args:
        path (str | PathLike): File written by :func:`save_flow`.
        shape (tuple[int, int], optional): Expected (H, W), that of the frames. By
            default not checked.

    Returns:
        np.ndarray: Flow of shape (H, W, 2), float32, x then y, in pixels.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a numpy array, has another shape, or holds
            values that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'flow file {path} is missing; make it with tools/generate_flow.py'
        )
    try:
        flow = np.load(path, allow_pickle=False)
    except Exception as error:  # Damaged headers raise any exception.
        raise ValueError(
            f'flow file {path} cannot be read as a numpy array ({error}); '
            'delete it and run tools/generate_flow.py again'
        ) from error
    _check_flow(path, flow, shape)
    return flow.astype(np.float32)


def _check_flow(
    path: Path, flow: np.ndarray, shape: tuple[int, int] | None = None
) -> None:
    """Raise a ValueError naming ``path`` unless ``flow`` is a finite flow field."""
    if not isinstance(flow, np.ndarray) or flow.ndim != 3 or flow.shape[2] != 2:
        found = getattr(flow, 'shape', type(flow).__name__)
        raise ValueError(f'flow {path} must have shape (H, W, 2), got {found}')
    if not np.issubdtype(flow.dtype, np.floating):
        raise ValueError(f'flow {path} must hold floats, got {flow.dtype}')
    if shape is not None and flow.shape[:2] != tuple(shape):
        raise ValueError(
            f'flow {path} has (H, W) = {flow.shape[:2]}, but its frames have '
            f'{tuple(shape)}; make the flow from the same low-resolution frames'
        )
    bad = int(np.count_nonzero(~np.isfinite(flow)))
    if bad:
        raise ValueError(f'flow {path} holds {bad} values that are NaN or infinite')
