"""A plot that shows what a network does with a frame."""

from os import PathLike

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..models.baselines.bicubic import BicubicUpsampling
from ..restoration import WindowNetwork
from ..utils.quality import psnr
from .panels import save_figure, show_flow, show_image, show_map


@torch.no_grad()
def plot_comparison(
    network: WindowNetwork, window: Tensor, truth: Tensor, path: str | PathLike
) -> None:
    """Plot input, bicubic, restoration and truth, and the estimated degradation.

    Upper row: the whole centre frame. Middle row: the part that moves most. Lower
    row: the learned flow to each neighbour and the degradation kernels of one pixel
    there, all frames on one scale.

    Args:
        network (WindowNetwork): In evaluation mode; one that estimates degradation.
        window (Tensor): Blurry LR frames, (T, 3, H, W), RGB in [0, 1].
        truth (Tensor): Sharp HR centre frame, (3, sH, sW), RGB in [0, 1].
        path (str | PathLike): PNG to write.
    """
    scale = network.scale
    learned = network.estimate_degradation(window)
    restored = network(window[None])[0].clamp(0, 1)
    bicubic = BicubicUpsampling(scale)(window[None])[0].clamp(0, 1)
    blurry = window[len(window) // 2]
    images = {
        'blurry input': blurry.repeat_interleave(scale, 1).repeat_interleave(scale, 2),
        f'bicubic, {_psnr(bicubic, truth):.2f} dB': bicubic,
        f'restored, {_psnr(restored, truth):.2f} dB': restored,
        'ground truth': truth,
    }
    whole_height = 4 * truth.size(1) / truth.size(2) + 0.4
    heights = (whole_height, 3.6, 2.6)
    figure = plt.figure(figsize=(16, sum(heights)), layout='constrained')
    rows = figure.subfigures(3, 1, height_ratios=heights)
    _plot_images(rows[0], images)
    _plot_crops(rows[1], images, [scale * p for p in learned.pixel])
    _plot_degradation(rows[2], learned.flow, learned.kernels)
    save_figure(figure, path)


def _plot_images(figure: Figure, images: dict[str, Tensor]) -> None:
    axes = figure.subplots(1, len(images))
    for axis, (title, image) in zip(axes, images.items(), strict=True):
        show_image(axis, image.permute(1, 2, 0), title)


def _plot_crops(
    figure: Figure, images: dict[str, Tensor], centre: list[int], size: int = 96
) -> None:
    first = next(iter(images.values()))
    bounds = [
        slice(max(0, min(c - size // 2, length - size)), None)
        for c, length in zip(centre, first.shape[-2:], strict=True)
    ]
    rows, columns = (slice(b.start, b.start + size) for b in bounds)
    axes = figure.subplots(1, len(images))
    for axis, image in zip(axes, images.values(), strict=True):
        show_image(axis, image[:, rows, columns].permute(1, 2, 0))


def _plot_degradation(figure: Figure, flow: Tensor, taps: Tensor) -> None:
    centre = len(flow) // 2
    neighbours = [t for t in range(len(flow)) if t != centre]
    axes = iter(figure.subplots(1, len(neighbours) + len(flow)))
    for t in neighbours:
        show_flow(next(axes), flow[t], f'learned flow {t - centre:+d}')
    for t, kernel in enumerate(taps):
        title = f'degradation kernel, frame {t - centre:+d}'
        show_map(next(axes), kernel, title, most=taps.max().item())


def _psnr(image: Tensor, truth: Tensor) -> float:
    return psnr(*(255 * x.permute(1, 2, 0).numpy() for x in (image, truth)))
