"""Writing of PNG frames."""

from pathlib import Path

import cv2
import numpy as np

from ..utils.files import atomic_write


def write_png(path: Path, image: np.ndarray) -> None:
    """Write a frame that is complete whenever it exists.

    Args:
        path (Path): File to write; its folder is created if missing.
        image (np.ndarray): RGB of shape (H, W, 3).

    Raises:
        OSError: If it cannot be written.
    """
    # OpenCV itself crashes at paths that are not UTF-8.
    _, data = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    with atomic_write(path) as draft:
        draft.write_bytes(data)
