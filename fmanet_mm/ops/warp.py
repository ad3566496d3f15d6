"""Backward warping by optical flow."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import full_precision


def flow_warp(x: Tensor, flow: Tensor) -> Tensor:
    """Sample ``x`` where the flow points to (bilinear, zeros outside).

    Args:
        x (Tensor): Images or features, (N, C, H, W).
        flow (Tensor): Flow in pixels, x then y, (N, 2, H, W): the output at
            pixel p is ``x`` at p + flow(p).

    Returns:
        Tensor: Warped ``x``, (N, C, H, W), at least float32.
    """
    with full_precision(x, flow) as (x, flow):
        height, width = x.shape[-2:]
        columns = torch.arange(width, device=x.device, dtype=flow.dtype)
        rows = torch.arange(height, device=x.device, dtype=flow.dtype)
        grid = torch.stack(
            (
                (flow[:, 0] + columns) * (2 / max(width - 1, 1)) - 1,
                (flow[:, 1] + rows[:, None]) * (2 / max(height - 1, 1)) - 1,
            ),
            dim=-1,
        )
        return F.grid_sample(
            x, grid, mode='bilinear', padding_mode='zeros', align_corners=True
        )


def masked_warp(x: Tensor, flow_mask: Tensor) -> Tensor:
    """Warp by one flow-mask pair and weigh by its mask.

    Args:
        x (Tensor): Images or features, (N, C, H, W).
        flow_mask (Tensor): Flow x, flow y (pixels) and mask logit,
            (N, 3, H, W).

    Returns:
        Tensor: ``sigmoid(mask) * warp(x, flow)``, (N, C, H, W).
    """
    flow, mask = flow_mask.split((2, 1), dim=1)
    return flow_warp(x, flow) * torch.sigmoid(mask)


def multi_flow_warp(x: Tensor, flow_masks: Tensor) -> Tensor:
    """Warp n groups of channels, each by a flow-mask pair of its own.

    Args:
        x (Tensor): Features, (N, C, H, W); C is a multiple of n.
        flow_masks (Tensor): n pairs side by side, (N, 3n, H, W).

    Returns:
        Tensor: Warped features, (N, C, H, W).
    """
    num_flows = flow_masks.size(1) // 3
    groups = x.unflatten(1, (num_flows, -1)).flatten(0, 1)
    pairs = flow_masks.unflatten(1, (num_flows, 3)).flatten(0, 1)
    return masked_warp(groups, pairs).unflatten(0, (-1, num_flows)).flatten(1, 2)
