"""Guided deformable attention: aligns the previous two frames to the current two."""

import torch
from torch import Tensor, nn

from ....ops import flow_warp, frame_rows, split_groups
from ....ops.precision import raised_precision
from ...common.layers import LeanModule, per_frame

NUM_GROUPS = 12
"""Groups of channels that move together; one half of them are keys, one values."""

NUM_HEADS = 12
"""Attention heads, two for each group of keys."""

SIZE = 3
"""Rows and columns of the taps around the place that the flow points to."""

OFFSET_CHANNELS = 64
"""Hidden channels of the convolutions that find the offsets."""

LARGEST_RESIDUE = 10.0
"""Most pixels by which an offset differs from the flow."""

SAMPLED_BYTES = 2**26
"""Bytes of samples up to which rows are attended to together."""


class GuidedDeformableAttention(LeanModule):
    """Attend to where flow and learned offsets point to in the previous clip.

    For each pixel of the two frames of a clip, 3x3 taps are sampled from both frames of
    the previous clip, keys and values each with offsets of their own; attention over
    the 18 samples fuses them. Sampling is bilinear, with zeros outside. It is computed
    on a few rows at a time, with the same result, and checkpointed in training.

    Args:
        channels (int): D; a multiple of 6.
        with_cp (bool): Whether to checkpoint in training.

    Raises:
        ValueError: If ``channels`` is no multiple of 6.
    """

    def __init__(self, channels: int, with_cp: bool = False) -> None:
        super().__init__(with_cp)
        if channels % (NUM_GROUPS // 2):
            raise ValueError(
                f'channels must be a multiple of {NUM_GROUPS // 2}, got {channels}'
            )
        layers: list[nn.Module] = [nn.Conv2d(3 * channels + 4, OFFSET_CHANNELS, 1)]
        for _ in range(4):
            layers += [_activation(), nn.Conv2d(*2 * (OFFSET_CHANNELS,), 3, padding=1)]
        # For both frames of the previous clip, each group and tap: y and x.
        last = nn.Conv2d(OFFSET_CHANNELS, 2 * NUM_GROUPS * SIZE**2 * 2, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.offsets = nn.Sequential(*layers, _activation(), last)
        self.query = nn.Conv2d(channels, 2 * channels, 1)
        self.key = nn.Conv2d(channels, 2 * channels, 1)
        self.value = nn.Conv2d(channels, 2 * channels, 1)
        self.project = nn.Conv2d(2 * channels, channels, 1)
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 1),
            nn.GELU(),
            nn.Conv2d(2 * channels, channels, 1),
        )

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, flows: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Align ``value`` to the current clip.

        Args:
            query (Tensor): Feature of the current clip, (N, 2, D, H, W).
            key (Tensor): The same feature of the previous clip.
            value (Tensor): What is aligned, of the previous clip.
            flows (Tensor): Flow in pixels, x then y, from each frame of the current
                clip to the two of the previous one, (N, 2, 2, 2, H, W); for the first
                frame to the first and the second, for the second frame to the second
                and the first.

        Returns:
            tuple[Tensor, Tensor]: The aligned feature, (N, 2, D, H, W), and the flows
            with the offsets found, averaged over all groups and taps.
        """
        offsets = self._find_offsets(query, value, flows)
        sampled = torch.cat(
            (per_frame(self.key, key), per_frame(self.value, value)), dim=2
        )
        attended = self._attend(per_frame(self.query, query), sampled, offsets)
        aligned = self.project(attended.to(query.dtype))
        aligned = aligned + self.mlp(aligned)
        return aligned.view_as(query), offsets.mean(dim=(3, 4))

    def _find_offsets(self, query: Tensor, value: Tensor, flows: Tensor) -> Tensor:
        """Offsets of all taps, x then y, (N, 2, 2, groups, taps, 2, H, W)."""
        sources = torch.stack((value, value.flip(1)), dim=2)
        warped = flow_warp(sources.flatten(0, 2), flows.flatten(0, 2))
        warped = warped.view_as(sources).flatten(2, 3)
        known = torch.cat((query, warped, flows.flatten(2, 3)), dim=2)
        found = self.run_checkpointed(self.offsets, known.flatten(0, 1))
        residue = LARGEST_RESIDUE * found.tanh()
        shape = (2, NUM_GROUPS, SIZE**2, 2)
        residue = residue.unflatten(0, query.shape[:2]).unflatten(2, shape)
        return residue.flip(5) + flows[:, :, :, None, None]

    def _attend(self, query: Tensor, sampled: Tensor, offsets: Tensor) -> Tensor:
        """Attend to keys and values, (N, 2, 4D, H, W); gives (N*2, 2D, H, W)."""
        query, offsets = query.flatten(0, 1), offsets.flatten(0, 1)
        # For both frames the one of the same place first, then the other one.
        first, second = (
            split_groups(frames.flatten(0, 1), NUM_GROUPS)
            for frames in (sampled, sampled.flip(1))
        )
        rows = frame_rows(query)
        row_bytes = 2 * SIZE**2 * first[..., 0, :].numel() * first.element_size()
        step = max(1, SAMPLED_BYTES // row_bytes)
        parts = [
            self.run_checkpointed(
                _attend_rows,
                query[..., begin : begin + step, :],
                first,
                second,
                offsets[..., begin : begin + step, :],
                rows[begin : begin + step],
            )
            for begin in range(0, len(rows), step)
        ]
        return torch.cat(parts, dim=2)


def _attend_rows(
    query: Tensor, first: Tensor, second: Tensor, offsets: Tensor, rows: Tensor
) -> Tensor:
    """Attention of some rows of B frames.

    Args:
        query (Tensor): (B, 2D, h, W).
        first (Tensor): Keys and values of one frame, groups in the batch,
            (B*groups, D/3, H, W).
        second (Tensor): Those of the other one.
        offsets (Tensor): (B, 2, groups, taps, 2, h, W).
        rows (Tensor): Numbers of the rows, (h, 1).

    Returns:
        Tensor: (B, 2D, h, W).
    """
    steps = torch.arange(SIZE, device=rows.device) - SIZE // 2
    tap_rows, tap_columns = torch.meshgrid(steps, steps, indexing='ij')
    # All taps of a group are sampled together, one below the other.
    tall_rows = (rows + tap_rows.reshape(-1, 1, 1)).view(-1, 1)
    with raised_precision(query, offsets) as (query, offsets):
        moved = offsets.movedim(4, 3)
        columns = moved[:, :, :, 0] + tap_columns.reshape(-1, 1, 1)
        moved = torch.stack((columns, moved[:, :, :, 1]), dim=3)
        samples = [
            flow_warp(frame, flow.flatten(0, 1).flatten(2, 3), tall_rows)
            for frame, flow in zip((first, second), moved.unbind(1), strict=True)
        ]
        sampled = torch.cat(
            [
                sample.unflatten(2, (SIZE**2, -1)).unflatten(0, (-1, NUM_GROUPS))
                for sample in samples
            ],
            dim=3,
        )
        keys, values = (
            half.flatten(1, 2).unflatten(1, (NUM_HEADS, -1))
            for half in sampled.chunk(2, dim=1)
        )
        queries = query.unflatten(1, (NUM_HEADS, -1)).unsqueeze(3)
        logits = (queries * keys).sum(2) * keys.size(2) ** -0.5
        attention = logits.softmax(dim=2).unsqueeze(2)
        return (attention * values).sum(3).flatten(1, 2)


def _activation() -> nn.Module:
    return nn.LeakyReLU(0.1, inplace=True)
