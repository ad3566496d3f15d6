"""A plot that shows what a network does with a frame."""

from os import PathLike

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from ..models.baselines.bicubic import BicubicUpsampling
from ..restoration import WindowNetwork
from ..utils.quality import psnr
from .panels import save_figure, show_flow, show_image, show_map

CROP_SIZE = 96
"""Side of the part that is shown enlarged, in HR pixels."""


@torch.no_grad()
def plot_comparison(
    network: WindowNetwork,
    window: Tensor,
    truth: Tensor,
    path: str | PathLike,
    degradation: bool = True,
) -> None:
    """Plot input, bicubic, restoration and truth, and the estimated degradation.

    Upper row: the complete centre frame. Middle row: the part where the gain over
    bicubic is largest, among those that move, with the PSNR there. Lower row: the
    learned flow to each neighbour and the degradation kernels of the pixel that moves
    most, all frames on one scale.

    Args:
        network (WindowNetwork): In evaluation mode; one that estimates degradation.
        window (Tensor): Blurry LR frames, (T, 3, H, W), RGB in [0, 1].
        truth (Tensor): Sharp HR centre frame, (3, sH, sW), RGB in [0, 1].
        path (str | PathLike): Image file to write.
        degradation (bool): Whether to plot the lower row.
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
    part = most_improved_part(restored, bicubic, truth, learned.flow, CROP_SIZE)
    frame_height = 4 * truth.size(1) / truth.size(2) + 0.4
    heights = (frame_height, 3.8, 2.6)[: 3 if degradation else 2]
    figure = plt.figure(figsize=(16, sum(heights)), layout='constrained')
    rows = figure.subfigures(len(heights), 1, height_ratios=heights)
    _plot_images(rows[0], images)
    _plot_images(rows[1], _crop(images, truth, part))
    if degradation:
        _plot_degradation(rows[2], learned.flow, learned.kernels)
    save_figure(figure, path)


def most_improved_part(
    restored: Tensor, bicubic: Tensor, truth: Tensor, flow: Tensor, size: int
) -> tuple[slice, slice]:
    """Find where the gain over bicubic is largest, in dB, among what moves.

    Of all squares, those that move less than half of the others are left out, and so
    are those that bicubic gets better than half of the others, such as clear sky.

    Args:
        restored (Tensor): Restored frame, (3, sH, sW).
        bicubic (Tensor): The same by bicubic upsampling.
        truth (Tensor): The sharp frame.
        flow (Tensor): From the centre frame to each, (T, 2, H, W).
        size (int): Side of the square, in HR pixels.

    Returns:
        tuple[slice, slice]: Its rows and columns, smaller where the frame is.
    """
    height, width = truth.shape[-2:]
    window = min(size, height), min(size, width)

    def mean(image: Tensor) -> Tensor:
        return avg_pool2d(image[None, None], window, stride=4)[0, 0]

    length = flow.norm(dim=1).amax(0)[None, None]
    motion = mean(interpolate(length, size=(height, width))[0, 0])
    before, after = (
        mean((image - truth).square().mean(0)) for image in (bicubic, restored)
    )
    gain = before.clamp(min=1e-8) / after.clamp(min=1e-8)
    chosen = (motion >= motion.median()) & (before >= before.median())
    if not chosen.any():
        chosen = motion >= motion.median()
    best = gain.where(chosen, torch.tensor(-1.0)).argmax().item()
    top, left = (4 * index for index in divmod(best, gain.size(1)))
    return slice(top, top + window[0]), slice(left, left + window[1])


def _crop(
    images: dict[str, Tensor], truth: Tensor, part: tuple[slice, slice]
) -> dict[str, Tensor]:
    """Cut a part out of all images; PSNR there, where the title has one."""
    rows, columns = part
    cut = {}
    for title, image in images.items():
        name, comma, _ = title.partition(',')
        image = image[..., rows, columns]
        if comma:
            name += f', {_psnr(image, truth[..., rows, columns]):.2f} dB here'
        cut[name] = image
    return cut


def _plot_images(figure: Figure, images: dict[str, Tensor]) -> None:
    axes = figure.subplots(1, len(images))
    for axis, (title, image) in zip(axes, images.items(), strict=True):
        show_image(axis, image.permute(1, 2, 0), title)


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
