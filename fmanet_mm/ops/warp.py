"""Backward warping by optical flow."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import raised_precision


def flow_warp(
    x: Tensor,
    flow: Tensor,
    rows: Tensor | None = None,
    padding_mode: str = 'zeros',
) -> Tensor:
    """Sample ``x`` where the flow points to (bilinear).

    Args:
        x (Tensor): Images or features, (N, C, H, W).
        flow (Tensor): Flow in pixels, x then y, (N, 2, h, W): the output at
            pixel p is ``x`` at p + flow(p).
        rows (Tensor, optional): Where the flow's rows lie in ``x``, (h, 1). By
            default the flow covers ``x``, h = H.
        padding_mode (str): What is outside: ``'zeros'``, or the nearest ``'border'``.

    Returns:
        Tensor: Warped ``x``, (N, C, h, W), at least float32.
    """
    with raised_precision(x, flow) as (x, flow):
        height, width = x.shape[-2:]
        columns = torch.arange(width, device=x.device, dtype=flow.dtype)
        if rows is None:
            rows = frame_rows(x)
        grid = torch.stack(
            (
                (flow[:, 0] + columns) * (2 / max(width - 1, 1)) - 1,
                (flow[:, 1] + rows.to(flow.dtype)) * (2 / max(height - 1, 1)) - 1,
            ),
            dim=-1,
        )
        return F.grid_sample(
            x, grid, mode='bilinear', padding_mode=padding_mode, align_corners=True
        )


def frame_rows(x: Tensor) -> Tensor:
    """The row numbers of (..., H, W), as (H, 1)."""
    return torch.arange(x.size(-2), device=x.device).unsqueeze(1)


def masked_warp(x: Tensor, flow_mask: Tensor, rows: Tensor | None = None) -> Tensor:
    """Warp by one flow-mask pair and weigh by its mask.

    Args:
        x (Tensor): Images or features, (N, C, H, W).
        flow_mask (Tensor): Flow x, flow y (pixels) and mask logit,
            (N, 3, h, W).
        rows (Tensor, optional): See :func:`flow_warp`.

    Returns:
        Tensor: ``sigmoid(mask) * warp(x, flow)``, (N, C, h, W).
    """
    flow, mask = flow_mask.split((2, 1), dim=1)
    return flow_warp(x, flow, rows).mul_(torch.sigmoid(mask))


def split_groups(x: Tensor, num_groups: int) -> Tensor:
    """Lay groups of channels side by side in the batch, ready to be warped.

    Args:
        x (Tensor): (N, C, H, W); C is a multiple of n.
        num_groups (int): n.

    Returns:
        Tensor: (N*n, C/n, H, W), at least float32.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    groups = x.unflatten(1, (num_groups, -1))
    return groups.to(dtype, memory_format=torch.contiguous_format).flatten(0, 1)


def warp_groups(
    groups: Tensor, flow_masks: Tensor, rows: Tensor | None = None
) -> Tensor:
    """Warp what :func:`split_groups` gave, each group by a pair of its own.

    Args:
        groups (Tensor): (N*n, C/n, H, W).
        flow_masks (Tensor): n flow-mask pairs side by side, (N, 3n, h, W).
        rows (Tensor, optional): See :func:`flow_warp`.

    Returns:
        Tensor: Warped features, (N, C, h, W).
    """
    num_flows = flow_masks.size(1) // 3
    pairs = flow_masks.unflatten(1, (num_flows, 3)).flatten(0, 1)
    warped = masked_warp(groups, pairs, rows)
    return warped.unflatten(0, (-1, num_flows)).flatten(1, 2)
