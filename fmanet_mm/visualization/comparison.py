"""One picture that shows what the network does with a frame."""

from os import PathLike

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..models.baselines.bicubic import BicubicUpsampling
from ..models.fmanet.fmanet import FMANet
from .panels import (
    degradation_taps,
    most_moving_pixel,
    save_figure,
    show_flow,
    show_image,
    show_map,
)


@torch.no_grad()
def draw_comparison(
    model: FMANet, window: Tensor, truth: Tensor, path: str | PathLike
) -> None:
    """Draw input, bicubic, restoration and truth, and what NetD learned.

    Upper row: the whole centre frame. Middle row: the part that moves most. Lower
    row: the learned flow to each neighbour and the degradation kernels of one pixel
    there, all frames on one scale.

    Args:
        model (FMANet): Of stage 2, in eval mode.
        window (Tensor): Blurry LR frames, (T, 3, H, W), RGB in [0, 1].
        truth (Tensor): Sharp HR centre frame, (3, sH, sW), RGB in [0, 1].
        path (str | PathLike): PNG to write.
    """
    window = window.unsqueeze(0)
    degradation = model.net_d(window)
    restored = model.net_r(window, degradation).output[0].clamp(0, 1)
    bicubic = BicubicUpsampling(model.scale)(window)[0].clamp(0, 1)
    blurry = window[0, model.num_frames // 2]
    images = {
        'blurry input': blurry.repeat_interleave(model.scale, 1).repeat_interleave(
            model.scale, 2
        ),
        f'bicubic, {_psnr(bicubic, truth):.2f} dB': bicubic,
        f'FMA-Net, {_psnr(restored, truth):.2f} dB': restored,
        'ground truth': truth,
    }
    flow = model.net_d.image_flow_mask(degradation.flow_masks)[0, :, :2]
    pixel = most_moving_pixel(flow)
    whole_height = 4 * truth.size(1) / truth.size(2) + 0.4
    heights = (whole_height, 3.6, 2.6)
    figure = plt.figure(figsize=(16, sum(heights)), layout='constrained')
    rows = figure.subfigures(3, 1, height_ratios=heights)
    _draw_images(rows[0], images)
    _draw_crops(rows[1], images, [model.scale * p for p in pixel])
    _draw_degradation(rows[2], flow, degradation_taps(degradation, pixel))
    save_figure(figure, path)


def _draw_images(figure: Figure, images: dict[str, Tensor]) -> None:
    axes = figure.subplots(1, len(images))
    for axis, (title, image) in zip(axes, images.items(), strict=True):
        show_image(axis, image.permute(1, 2, 0), title)


def _draw_crops(
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


def _draw_degradation(figure: Figure, flow: Tensor, taps: Tensor) -> None:
    centre = len(flow) // 2
    neighbours = [t for t in range(len(flow)) if t != centre]
    axes = iter(figure.subplots(1, len(neighbours) + len(flow)))
    for t in neighbours:
        show_flow(next(axes), flow[t], f'learned flow {t - centre:+d}')
    for t, kernel in enumerate(taps):
        title = f'degradation kernel, frame {t - centre:+d}'
        show_map(next(axes), kernel, title, most=taps.max().item())


def _psnr(image: Tensor, truth: Tensor) -> float:
    return (-10 * (image - truth).square().mean().log10()).item()
