"""Curves of losses, measures and learning rates."""

import json
from os import PathLike
from pathlib import Path

import matplotlib.pyplot as plt

from .panels import save_figure

# Entries of a log that are neither losses nor measures.
_NOT_PLOTTED = ('data_time', 'time', 'iter', 'step', 'epoch', 'eta', 'memory')


def read_log(work_dir: str | PathLike) -> dict[str, dict[int, float]]:
    """Read the log of a training, its resumed parts included.

    Args:
        work_dir (str | PathLike): Work folder of a run of ``tools/train.py``.

    Returns:
        dict[str, dict[int, float]]: Values by iteration, by name. Where runs overlap,
        the later one counts.

    Raises:
        FileNotFoundError: If the folder holds no log.
        ValueError: If a log is damaged.
    """
    logs = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not logs:
        raise FileNotFoundError(
            f'{work_dir} holds no <time>/vis_data/scalars.json; give the work folder '
            'of a training, such as work_dirs/fmanet_stage1'
        )
    curves: dict[str, dict[int, float]] = {}
    for log in logs:
        for number, line in enumerate(log.read_text().splitlines(), start=1):
            try:
                entry = json.loads(line)
                step = entry['step']
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f'{log}, line {number}: expected a JSON object with "step", got '
                    f'{line[:60]!r}; remove the line'
                ) from error
            for name, value in entry.items():
                if name not in _NOT_PLOTTED:
                    curves.setdefault(name, {})[step] = value
    return curves


def plot_curves(
    trainings: dict[str, dict[str, dict[int, float]]], path: str | PathLike
) -> None:
    """Plot losses, measures and learning rates of trainings, one panel for each.

    Args:
        trainings (dict[str, dict[str, dict[int, float]]]): Results of
            :func:`read_log`, by the label of the training.
        path (str | PathLike): Image file to write.
    """
    names = list(dict.fromkeys(name for log in trainings.values() for name in log))
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(5 * columns, 3 * rows),
        layout='constrained',
        squeeze=False,
    )
    for axis in axes.flat[len(names) :]:
        axis.axis('off')
    for axis, name in zip(axes.flat, names, strict=False):
        for training, log in trainings.items():
            values = dict(sorted(log.get(name, {}).items()))
            marker = 'o' if len(values) < 10 else None
            axis.plot(
                list(values), list(values.values()), label=training, marker=marker
            )
        axis.set_title(name, fontsize=10)
        if 'loss' in name:
            axis.set_yscale('log')
        axis.grid(alpha=0.3)
    axes.flat[0].legend(fontsize=8)
    save_figure(figure, path)
