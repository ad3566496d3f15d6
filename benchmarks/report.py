"""The results as JSON, as a table and as a plot."""

import json
import os
from itertools import groupby
from pathlib import Path

KINDS = dict(
    frame=(
        'Restoration, a frame',
        'Time from one restored frame to the next within an endless clip: the cost of '
        'a frame of a long video. The first frames are not timed; reading and writing '
        'files is not included.',
    ),
    clip=(
        'Restoration, complete clips',
        'Time to restore a clip in memory, from first to last frame, divided by its '
        'number of frames.',
    ),
    training=(
        'Training, a step of stage 2',
        'Forward with all losses, backward, and a step of Adam; data and flow are '
        'already in memory.',
    ),
)
COLUMNS = {
    's': ('median_seconds', 1, ''),
    'min s': ('min_seconds', 1, ''),
    'per s': ('per_second', 1, ''),
    'speed': ('speedup', 1, 'x'),
    'tensors GiB': ('tensor_bytes', 2**30, ''),
    'of plain': ('tensor_ratio', 1, ''),
    'device GiB': ('peak_bytes', 2**30, ''),
    'of plain ': ('peak_ratio', 1, ''),
    'MMAC a pixel': ('macs_per_pixel', 1e6, ''),
    'GFLOP/s': ('flops_per_second', 1e9, ''),
    'difference': ('max_difference', 1, ''),
}
"""Column: key of a record, unit, suffix of the number."""

LEAST_PART = 0.01
"""Least share of a case's time for an operation to be listed."""

AXES = dict(
    frame=('pixels', 'LR pixels of a frame'),
    clip=('count', 'frames of a clip of {height}x{width}'),
)
COLOURS = dict(plain='#777777', window='#1f77b4', stream='#d95f02')
LINES = dict(fp32='-', tf32=':', bf16='--', fp16='-.')
LEGEND = """\
- **s**, **min s**: median and minimum of all repeats; **per s**: frames or steps, from
  the median. The cases take turns, each in a process of its own.
- **speed**: plain fp32's median divided by the case's. **of plain**: the case's memory
  divided by plain fp32's.
- **tensors**: the most bytes of tensors alive at once, without weights and input.
  **device**: peak of the process (CPU) or of torch's tensors (GPU) above the use with
  the model loaded.
- **MMAC a pixel**: million multiply-adds of convolutions and matrix products per LR
  pixel. **GFLOP/s**: twice that number of operations per second; compare it with the
  speed of a single convolution, above.
- **difference**: largest difference of the output (restored frame in [0, 1], or loss)
  from plain fp32's, with the same random weights.
- **plain**: the published form. **window**: each window computed on its own.
  **stream**: each frame encoded once. **package**, **checkpointed**: training without
  and with `with_cp`.
"""


def write(results: dict, out: Path) -> None:
    """Write ``benchmark.json``, ``benchmark.md`` and ``benchmark.png``.

    Args:
        results (dict): ``environment``, ``records`` and ``long``.
        out (Path): Existing folder.
    """
    _replace(out / 'benchmark.json', json.dumps(results, indent=1) + '\n')
    _replace(out / 'benchmark.md', markdown(results))
    plot(results['records'], out / 'benchmark.png')


def markdown(results: dict) -> str:
    """Format the results as tables.

    Args:
        results (dict): See :func:`write`.

    Returns:
        str: Markdown.
    """
    lines = ['# Benchmark', '', f'`{results["command"]}`', '']
    lines += [f'- {name}: {value}' for name, value in results['environment'].items()]
    for kind, of_kind in groupby(results['records'], lambda record: record['kind']):
        lines += ['', '## ' + KINDS[kind][0], '', KINDS[kind][1]]
        for task, records in groupby(of_kind, lambda record: record['task']):
            lines += ['', f'### {task}', '', *_table(list(records))]
    if results['long']:
        lines += ['', '## A long stream', '', *_long(results['long'])]
    lines += ['', '## Columns', '', LEGEND]
    return '\n'.join(lines)


def _table(records: list[dict]) -> list[str]:
    lines = [_row(['case', *COLUMNS]), _row(['---'] + ['---:'] * len(COLUMNS))]
    for record in records:
        cells = [_number(record[key], *form) for key, *form in COLUMNS.values()]
        if record['error']:
            cells[0] = 'failed'
        lines.append(_row([record['case'], *cells]))
    for record in records:
        if record['operations']:
            lines += ['', _operations(record)]
    failures = [record for record in records if record['error']]
    for record in failures:
        lines += ['', f'{record["case"]} failed: {record["error"]}']
    return lines


def _operations(record: dict) -> str:
    parts = sorted(record['operations'].items(), key=lambda item: -item[1])
    shown = [f'{name} {100 * part:.1f} %' for name, part in parts if part >= LEAST_PART]
    return f'Where the time of {record["case"]} goes: {", ".join(shown)}.'


def _row(cells: list[str]) -> str:
    return f'| {" | ".join(cells)} |'


def _number(value: float | None, unit: float = 1, suffix: str = '') -> str:
    return '-' if value is None else f'{value / unit:.3g}{suffix}'


def _long(long: dict) -> list[str]:
    if long['error']:
        return [f'{long["case"]} failed: {long["error"]}']
    first, last = long['memory_bytes'][0], long['memory_bytes'][-1]
    return [
        f'{long["case"]}, {long["task"]}: memory in use was {first / 2**20:.1f} MiB '
        f'after {long["frames"][0]} frames and {last / 2**20:.1f} MiB after '
        f'{long["frames"][-1]}, {100 * long["growth"]:+.2f} %.'
    ]


def plot(records: list[dict], path: Path) -> None:
    """Plot time and memory against frame size and against clip length.

    Args:
        records (list[dict]): Failed and training cases are skipped.
        path (Path): PNG file to write.
    """
    from matplotlib.figure import Figure

    plotted = [r for r in records if r['kind'] in AXES and not r['error']]
    kinds = [kind for kind in AXES if any(r['kind'] == kind for r in plotted)]
    figure = Figure((11, 4.2 * max(len(kinds), 1)), layout='constrained')
    axes = figure.subplots(len(kinds), 2, squeeze=False) if kinds else ()
    for kind, row in zip(kinds, axes, strict=True):
        of_kind = [record for record in plotted if record['kind'] == kind]
        _plot_panel(row[0], of_kind, 'median_seconds', 1, 'Seconds a frame')
        _plot_panel(row[1], of_kind, 'peak_bytes', 2**30, 'Peak memory, GiB')
    draft = path.with_name(f'.{path.name}')
    figure.savefig(draft, dpi=120, format='png')
    os.replace(draft, path)


def _plot_panel(axes, records: list[dict], key: str, unit: float, title: str) -> None:
    field, label = AXES[records[0]['kind']]
    for case in dict.fromkeys(record['case'] for record in records):
        of_case = [record for record in records if record['case'] == case]
        points = sorted((record[field], record[key] / unit) for record in of_case)
        first = of_case[0]
        axes.plot(
            *zip(*points, strict=True),
            color=COLOURS[first['variant']],
            linestyle=LINES[first['dtype']],
            marker='s' if first['compile_mode'] else 'o',
            label=case,
        )
    axes.set(title=title, xlabel=label.format(**first), xlim=(0, None), ylim=(0, None))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend()


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f'.{path.name}')
    draft.write_text(text)
    os.replace(draft, path)
