"""Plots of the insides of the networks: kernels, flows, features."""

from os import PathLike

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from ...utils.motion import most_moving_pixel
from ...visualization.panels import (
    frame_name,
    save_figure,
    show_flow,
    show_image,
    show_map,
)
from .fmanet import FMANet, FMANetStage1


@torch.no_grad()
def plot_kernels(model: FMANetStage1, window: Tensor, path: str | PathLike) -> None:
    """Plot degradation kernels of three pixels, as Fig. 5 of the paper does.

    The pixels are those of the longest, the middle and the shortest learned flow. The
    kernels of a pixel are on one scale, whose end is the largest tap.

    Args:
        model (FMANetStage1): Of either stage, in evaluation mode.
        window (Tensor): Blurry LR frames, (T, 3, H, W), RGB in [0, 1].
        path (str | PathLike): Image file to write.
    """
    degradation = model.net_d(window[None])
    flow = model.net_d.image_flow_mask(degradation.flow_masks)[0, :, :2]
    pixels = _pixels_by_motion(flow)
    figure, rows = plt.subplots(
        len(pixels),
        1 + len(window),
        figsize=(3 * (1 + len(window)), 3 * len(pixels)),
        layout='constrained',
    )
    for row, pixel in zip(rows, pixels, strict=True):
        moved = flow[:, :, pixel[0], pixel[1]].norm(dim=1).max().item()
        show_image(row[0], _centre(window), f'moves {moved:.1f} px')
        row[0].plot(pixel[1], pixel[0], marker='+', color='lime', markersize=14)
        taps = model.pixel_kernels(degradation, pixel)
        for t, (axis, kernel) in enumerate(zip(row[1:], taps, strict=True)):
            share = f'{100 * kernel.sum().item():.0f} %'
            name = frame_name(t, len(window))
            show_map(axis, kernel, f'{name}, {share}', taps.max().item())
    save_figure(figure, path)


@torch.no_grad()
def plot_flows(
    model: FMANetStage1,
    window: Tensor,
    path: str | PathLike,
    true_flow: Tensor | None = None,
) -> None:
    """Plot the learned flows of images and of features, as Fig. 6 of the paper does.

    A row a frame but the centre one: the frame, the true flow if there is one, the flow
    and the mask that NetD warps images by, and the n flows it warps features by last.

    Args:
        model (FMANetStage1): Of either stage, in evaluation mode.
        window (Tensor): Blurry LR frames, (T, 3, H, W), RGB in [0, 1].
        path (str | PathLike): Image file to write.
        true_flow (Tensor, optional): From the centre frame to each, (T, 2, H, W).
    """
    flow_masks = model.net_d(window[None]).flow_masks
    image_flow_mask = model.net_d.image_flow_mask(flow_masks)[0]
    n = model.net_d.num_flows
    columns = (3 if true_flow is None else 4) + n
    neighbours = [t for t in range(len(window)) if t != len(window) // 2]
    figure, rows = plt.subplots(
        len(neighbours),
        columns,
        figsize=(2.6 * columns, 2.8 * len(neighbours)),
        layout='constrained',
        squeeze=False,
    )
    for row, t in zip(rows, neighbours, strict=True):
        axes = iter(row)
        image = window[t].permute(1, 2, 0)
        show_image(next(axes), image, frame_name(t, len(window)))
        if true_flow is not None:
            show_flow(next(axes), true_flow[t], 'true flow')
        show_flow(next(axes), image_flow_mask[t, :2], 'learned flow')
        show_map(next(axes), image_flow_mask[t, 2].sigmoid(), 'mask')
        for number, flow in enumerate(_feature_flows(flow_masks[0, t], n), start=1):
            show_flow(next(axes), flow, f'of features, {number}')
    save_figure(figure, path)


@torch.no_grad()
def plot_features(
    models: dict[str, FMANetStage1], window: Tensor, path: str | PathLike
) -> None:
    """Plot the centre frame's features block by block, as Fig. 7 of the paper does.

    A row a network and model, a column a block; a pixel is the mean magnitude of its
    channels, each map on a scale of its own, whose end is its largest.

    Args:
        models (dict[str, FMANetStage1]): By the name to write, in evaluation mode,
            such as one trained with the temporal anchor and one without.
        window (Tensor): Blurry LR frames, (T, 3, H, W), RGB in [0, 1].
        path (str | PathLike): Image file to write.
    """
    rows = {
        f'{net}, {name}': levels
        for name, model in models.items()
        for net, levels in _centre_features(model, window).items()
    }
    columns = max(len(levels) for levels in rows.values())
    figure, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(3 * columns, 2.8 * len(rows)),
        layout='constrained',
        squeeze=False,
    )
    for axis in axes.flat:
        axis.axis('off')
    for row, (name, levels) in zip(axes, rows.items(), strict=True):
        for number, (axis, feature) in enumerate(zip(row, levels, strict=False)):
            magnitude = feature[0].abs().mean(0)
            axis.axis('on')
            block = f'block {number}' if number else 'initial'
            show_map(axis, magnitude, f'{name}: {block}', magnitude.max().item())
    save_figure(figure, path)


def _centre(window: Tensor) -> Tensor:
    return window[len(window) // 2].permute(1, 2, 0)


def _pixels_by_motion(flow: Tensor) -> list[tuple[int, int]]:
    length = flow.norm(dim=1).amax(0).flatten()
    order = length.argsort()
    places = (order[len(order) // 2], order[0])
    width = flow.size(-1)
    return [most_moving_pixel(flow), *(divmod(place.item(), width) for place in places)]


def _feature_flows(flow_masks: Tensor, num_flows: int) -> Tensor:
    """Of one frame's flow-mask pairs, (3n, H, W), the flows, (n, 2, H, W)."""
    return flow_masks.unflatten(0, (num_flows, 3))[:, :2]


def _centre_features(model: FMANetStage1, window: Tensor) -> dict[str, list[Tensor]]:
    frame = window[len(window) // 2][None]
    features = dict(NetD=list(model.net_d.encode(frame)))
    if isinstance(model, FMANet):
        features['NetR'] = list(model.net_r.encode(frame, features['NetD'][-1]))
    return features
