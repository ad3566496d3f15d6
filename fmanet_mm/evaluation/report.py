"""Tables of measured values."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..utils.files import atomic_write
from .protocol import Protocol

MOTION_BINS = ((0, 20), (20, 40), (40, float('inf')))
"""Bounds of the bins by motion, in pixels."""

_DIGITS = {'PSNR': 2, 'PSNR-Y': 2, 'tOF': 3}

Frames = Iterable[dict[str, float]]


@dataclass
class Report:
    """Values of all frames, and means by clip, by motion and overall.

    Attributes:
        name (str): Name of the method or config.
        protocol (Protocol): The protocol used.
        measures (tuple[str]): Columns of the tables, in order.
        frames (dict[str, dict[str, dict[str, float]]]): Values by clip, by the frame's
            name, by measure. ``tOF`` and ``motion`` of a frame belong to the pair with
            the previous frame, so the first frame of a clip has none.
        motion (str, optional): Estimator of motion; None if motion was not measured.
        parameters (int, optional): Number of parameters that inference uses.
    """

    name: str
    protocol: Protocol
    measures: tuple[str, ...]
    frames: dict[str, dict[str, dict[str, float]]]
    motion: str | None = None
    parameters: int | None = None

    def overall(self) -> dict[str, float]:
        """Means over the frames of all clips; ``frames`` and ``pairs`` are counts."""
        return self._mean(
            values for clip in self.frames.values() for values in clip.values()
        )

    def by_clip(self) -> dict[str, dict[str, float]]:
        """Means by clip; see :meth:`overall`."""
        return {name: self._mean(clip.values()) for name, clip in self.frames.items()}

    def by_motion(self) -> dict[str, dict[str, float]]:
        """Means by motion of the frame, see :meth:`overall`; empty if not measured.

        The first frame of a clip is given the motion of the second.
        """
        if self.motion is None:
            return {}
        moving = [
            (values, motion)
            for clip in self.frames.values()
            for values, motion in _with_motion([*clip.values()])
        ]
        return {
            _bin_name(low, high): self._mean(
                values for values, motion in moving if low <= motion < high
            )
            for low, high in MOTION_BINS
        }

    def row(self) -> str:
        """Row of the paper's table, in Markdown: name and overall values."""
        size = [] if self.parameters is None else [f'{self.parameters / 1e6:.2f}']
        return table_row(self.name, *size, *self.cells())

    def header(self) -> str:
        """Header for :meth:`row`."""
        size = [] if self.parameters is None else ['parameters (M)']
        return table_header('method', *size, *self.measures)

    def cells(self) -> list[str]:
        """The overall values as they stand in a table, one for each measure."""
        return self._cells(self.overall())

    def table(self) -> str:
        """All means in Markdown, with protocol and counts."""
        overall = self.overall()
        lines = [
            f'{self.name}, {self.protocol.describe()}.',
            f'{overall["frames"]} frames and {overall["pairs"]} pairs of consecutive '
            f'ones in {len(self.frames)} clips.',
            '',
            table_header('clip', 'frames', *self.measures),
        ]
        rows = {**self.by_clip(), 'all': overall}
        lines += [self._table_row(name, mean) for name, mean in rows.items()]
        if self.motion:
            lines += [
                '',
                f'By motion, mean absolute flow ({self.motion}) in pixels between '
                'consecutive targets:',
                '',
                table_header('motion', 'frames', *self.measures),
            ]
            lines += [self._table_row(*row) for row in self.by_motion().items()]
        return '\n'.join(lines) + '\n'

    def to_dict(self) -> dict:
        """All values, for JSON; None in place of values that are not finite."""
        return _finite(
            dict(
                name=self.name,
                protocol=self.protocol.name,
                description=self.protocol.describe(),
                parameters=self.parameters,
                motion_estimator=self.motion,
                overall=self.overall(),
                by_clip=self.by_clip(),
                by_motion=self.by_motion(),
                frames=self.frames,
            )
        )

    def save(self, folder: str | os.PathLike, stem: str = 'evaluation') -> list[Path]:
        """Write ``<stem>.json`` and the tables as ``<stem>.md``.

        Args:
            folder (str | PathLike): Folder of the files; created if missing.
            stem (str): Name of the files without suffix.

        Returns:
            list[Path]: The files.
        """
        texts = {
            '.json': json.dumps(self.to_dict(), indent=1, allow_nan=False) + '\n',
            '.md': f'{self.table()}\n{self.header()}\n{self.row()}\n',
        }
        paths = []
        for suffix, text in texts.items():
            path = Path(folder, f'{stem}{suffix}')
            with atomic_write(path) as draft:
                draft.write_text(text, encoding='utf-8', errors='backslashreplace')
            paths.append(path)
        return paths

    def _mean(self, frames: Frames) -> dict[str, float]:
        frames = list(frames)
        pairs = sum('tOF' in values or 'motion' in values for values in frames)
        means = dict(frames=len(frames), pairs=pairs)
        for name in self.measures:
            found = [values[name] for values in frames if name in values]
            means[name] = float(np.mean(found)) if found else float('nan')
        return means

    def _cells(self, mean: dict[str, float]) -> list[str]:
        values = {name: mean[name] for name in self.measures}
        return [
            '-' if np.isnan(value) else f'{value:.{_DIGITS.get(name, 4)}f}'
            for name, value in values.items()
        ]

    def _table_row(self, name: str, mean: dict[str, float]) -> str:
        return table_row(name, str(mean['frames']), *self._cells(mean))


def _with_motion(frames: list[dict]) -> list[tuple[dict, float]]:
    motions = [values.get('motion') for values in frames]
    known = [
        motion if motion is not None else following
        for motion, following in zip(motions, [*motions[1:], None], strict=True)
    ]
    return [
        (values, motion)
        for values, motion in zip(frames, known, strict=True)
        if motion is not None
    ]


def _bin_name(low: float, high: float) -> str:
    return f'>= {low}' if high == float('inf') else f'[{low}, {high})'


def table_header(*names: str) -> str:
    """Header of a table in Markdown."""
    return f'{table_row(*names)}\n{"|---" * len(names)}|'


def table_row(*cells: str) -> str:
    """Row of a table in Markdown."""
    return f'| {" | ".join(cells)} |'


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
