r"""Read all files of a dataset and list all faults, before training depends on it.

The sets of a config, or a set in the layout of REDS:

    python tools/analysis_tools/check_dataset.py configs/fmanet_stage1.py
    python tools/analysis_tools/check_dataset.py --data-root data/mini --split train

The exit status is 0 without faults, 1 with faults, 130 after Ctrl-C.
"""

import argparse
import os
import sys
from pathlib import Path

import mmengine
from mmengine.config import Config, DictAction

import fmanet_mm.openmmlab  # noqa: F401
from fmanet_mm.datasets.check import CheckReport, check_datasets, find_datasets
from fmanet_mm.engine import existing_file
from fmanet_mm.utils.names import print_any_name

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
SHOWN_FAULTS = 100


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', nargs='?', type=existing_file, help='config file')
    parser.add_argument(
        '--loaders',
        nargs='+',
        choices=LOADERS,
        default=LOADERS,
        help='loaders whose sets are checked (default: all three)',
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE'
    )
    parser.add_argument(
        '--data-root', type=Path, help='folder of a set, instead of a config'
    )
    parser.add_argument('--split', default='train', help='split of --data-root (train)')
    parser.add_argument(
        '--ann-file', help='file with the clips, below --data-root (default: all clips)'
    )
    parser.add_argument(
        '--scale',
        type=int,
        default=4,
        help='ratio of HR to LR size, for --data-root (4)',
    )
    parser.add_argument(
        '--num-frames', type=int, default=3, help='window length, for --data-root (3)'
    )
    parser.add_argument(
        '--processes',
        type=int,
        default=os.cpu_count(),
        help='reading processes (default: number of cores)',
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/check_dataset.json'),
        help='report with all faults (default: work_dirs/check_dataset.json)',
    )
    args = parser.parse_args()
    if (args.config is None) == (args.data_root is None):
        parser.error('name either a config or --data-root')
    if args.processes < 1:
        parser.error('--processes must be at least 1')
    return args


def datasets_of_config(args: argparse.Namespace) -> list[dict]:
    """Configs of the sets on disk that the loaders of a config read."""
    config = Config.fromfile(args.config)
    config.merge_from_dict(args.cfg_options)
    loaders = [config[name] for name in args.loaders if config.get(name)]
    return list(find_datasets(loaders))


def dataset_in_reds_layout(args: argparse.Namespace) -> dict:
    """Config of the set in a folder, with the kinds that exist."""
    folders = dict(
        img=f'{args.split}_blur_bicubic/X{args.scale}',
        gt=f'{args.split}_sharp',
        img_sharp=f'{args.split}_sharp_bicubic/X{args.scale}',
        flow=f'{args.split}_flow/X{args.scale}',
    )
    return dict(
        type='REDSVSRDBDataset',
        data_root=str(args.data_root),
        ann_file=args.ann_file or '',
        data_prefix={
            kind: folder
            for kind, folder in folders.items()
            if kind == 'img' or (args.data_root / folder).is_dir()
        },
        num_input_frames=args.num_frames,
        pipeline=[dict(type='CheckScale', scale=args.scale)],
    )


def show(report: CheckReport, out: Path) -> None:
    for fault in report.faults[:SHOWN_FAULTS]:
        print(f'- {fault.problem}')
    hidden = len(report.faults) - SHOWN_FAULTS
    if hidden > 0:
        print(f'... and {hidden} more, see {out}')
    state = '' if report.complete else ' Interrupted: the other files were not read.'
    print(
        f'{report.num_clips} clips, {report.num_files} files read, '
        f'{len(report.faults)} faults.{state} Report: {out}'
    )


def main() -> None:
    print_any_name()
    args = parse_args()
    datasets = (
        datasets_of_config(args) if args.config else [dataset_in_reds_layout(args)]
    )
    if not datasets:
        print(f'{args.config} reads no VSRDB set from disk: nothing to check')
        return
    report = check_datasets(datasets, args.processes)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    mmengine.dump(
        report.to_dict(), args.out, indent=2, backend_args=dict(backend='atomic')
    )
    show(report, args.out)
    if not report.complete:
        sys.exit(130)
    sys.exit(0 if report.passed else 1)


if __name__ == '__main__':
    main()
