"""Building blocks of the figures of a network."""

from os import PathLike
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from .flow_colours import flow_to_rgb


def show_image(axis: Axes, image: Tensor | np.ndarray, title: str = '') -> None:
    """Show an image, (H, W, 3) in [0, 1], without axes."""
    axis.imshow(np.asarray(image), interpolation='nearest')
    axis.set_title(title, fontsize=10)
    axis.axis('off')


def show_map(axis: Axes, values: Tensor, title: str = '', most: float = 1.0) -> None:
    """Show values, (H, W), on a scale from 0 (black) to ``most`` (pale yellow)."""
    axis.imshow(np.asarray(values), cmap='magma', vmin=0, vmax=most)
    axis.set(xticks=[], yticks=[])
    axis.set_title(title, fontsize=10)


def show_flow(axis: Axes, flow: Tensor, title: str) -> None:
    """Show a flow, (2, H, W), in the usual colours, with its largest length."""
    vectors = flow.permute(1, 2, 0).numpy()
    longest = np.linalg.norm(vectors, axis=-1).max()
    show_image(axis, flow_to_rgb(vectors), f'{title}, up to {longest:.1f} px')


def save_figure(figure: Figure, path: str | PathLike) -> None:
    """Write a figure to an image file and close it; the folder is created."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def frame_name(t: int, num_frames: int) -> str:
    """``'frame +1'`` for the frame after the centre of a window."""
    offset = t - num_frames // 2
    return 'centre frame' if offset == 0 else f'frame {offset:+d}'
