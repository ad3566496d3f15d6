"""Check the official REDS folders and write the annotation files; nothing is copied.

python tools/dataset_converters/reds/prepare_reds.py data/REDS
"""

import argparse
from pathlib import Path

from fmanet_mm.preparation.reds import SPLITS, prepare_reds
from fmanet_mm.utils.annotation import read_annotation
from fmanet_mm.utils.names import print_any_name


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('root', type=Path, help='folder of the set')
    parser.add_argument(
        '--splits',
        nargs='+',
        choices=[*SPLITS],
        default=[*SPLITS],
        help='splits to check (default: both)',
    )
    return parser.parse_args()


def main() -> None:
    print_any_name()
    args = parse_args()
    files = prepare_reds(args.root, {split: SPLITS[split] for split in args.splits})
    for file in files.values():
        clips = read_annotation(file)
        print(f'{file}: {len(clips)} clips, {sum(clips.values()):,} frames')
    print('\nTo make the flow for training, if it is missing:')
    for split in args.splits:
        print(
            f'  python tools/generate_flow.py --data-root {args.root} '
            f'--sharp-lr {split}_sharp_bicubic/X4 --out {split}_flow/X4 '
            f'--ann-file {split}.txt'
        )


if __name__ == '__main__':
    main()
