"""One picture that shows what the network does with a frame."""

from os import PathLike
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmcv import flow2rgb
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ..models.bicubic import BicubicUpsampling
from ..models.fmanet import FMANet


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
    _draw_degradation(rows[2], flow, degradation.kernels[0], pixel)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _draw_images(figure: Figure, images: dict[str, Tensor]) -> None:
    axes = figure.subplots(1, len(images))
    for axis, (title, image) in zip(axes, images.items(), strict=True):
        _show(axis, image.permute(1, 2, 0), title)


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
        _show(axis, image[:, rows, columns].permute(1, 2, 0), '')


def _draw_degradation(
    figure: Figure, flow: Tensor, kernels: Tensor, pixel: tuple[int, int]
) -> None:
    centre = len(flow) // 2
    neighbours = [t for t in range(len(flow)) if t != centre]
    taps = kernels[:, :, pixel[0], pixel[1]].flatten().softmax(0)
    size = round(kernels.size(1) ** 0.5)
    taps = taps.view(-1, size, size)
    axes = iter(figure.subplots(1, len(neighbours) + len(flow)))
    for t in neighbours:
        vectors = flow[t].permute(1, 2, 0).numpy()
        longest = np.linalg.norm(vectors, axis=-1).max()
        title = f'learned flow {t - centre:+d}, up to {longest:.1f} px'
        _show(next(axes), flow2rgb(vectors), title)
    for t, kernel in enumerate(taps):
        axis = next(axes)
        title = f'degradation kernel, frame {t - centre:+d}'
        axis.imshow(kernel, cmap='magma', vmin=0, vmax=taps.max().item())
        axis.set(xticks=[], yticks=[])
        axis.set_title(title, fontsize=10)


def _show(axis: Axes, image: Tensor | np.ndarray, title: str) -> None:
    axis.imshow(np.asarray(image), interpolation='nearest')
    axis.set_title(title, fontsize=10)
    axis.axis('off')


def most_moving_pixel(flow: Tensor) -> tuple[int, int]:
    """Find where the flow is longest, smoothed a little.

    Args:
        flow (Tensor): From the centre frame to each, (T, 2, H, W).

    Returns:
        tuple[int, int]: Row and column of the pixel.
    """
    length = flow.norm(dim=1).amax(0)[None, None]
    smooth = avg_pool2d(length, kernel_size=9, stride=1, padding=4)[0, 0]
    return divmod(smooth.argmax().item(), smooth.size(1))


def _psnr(image: Tensor, truth: Tensor) -> float:
    return (-10 * (image - truth).square().mean().log10()).item()
