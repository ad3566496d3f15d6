"""Make GoPro's low-resolution frames and annotation; can be interrupted and resumed.

python tools/dataset_converters/gopro/prepare_gopro.py data/GoPro --num-processes 8
"""

import argparse
from pathlib import Path

from fmanet_mm.preparation.gopro import BLURS, SPLITS, prepare_gopro
from fmanet_mm.utils.annotation import read_annotation
from fmanet_mm.utils.names import print_any_name


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('root', type=Path, help='folder with test/ and train/')
    parser.add_argument(
        '--splits',
        nargs='+',
        choices=[*SPLITS],
        default=['test'],
        help='splits to process (default: test)',
    )
    parser.add_argument(
        '--blur',
        choices=BLURS,
        default='blur',
        help='kind of blurry frames (default: blur)',
    )
    parser.add_argument(
        '--scale', type=int, default=4, help='ratio of HR to LR size (default: 4)'
    )
    parser.add_argument(
        '--num-processes', type=int, default=4, help='parallel processes (default: 4)'
    )
    return parser.parse_args()


def main() -> None:
    print_any_name()
    files = prepare_gopro(**vars(parse_args()))
    for file in files.values():
        clips = read_annotation(file)
        print(f'{file}: {len(clips)} clips, {sum(clips.values()):,} frames')


if __name__ == '__main__':
    main()
