r"""Compress the blurry frames of a set as video files would, to test on them.

    python tools/dataset_converters/compress_frames.py \
        data/REDS/train_blur_bicubic/X4 data/REDS/train_blur_crf35/X4 --crf 35
    python tools/test.py CONFIG CHECKPOINT --cfg-options \
        test_dataloader.dataset.data_prefix.img=train_blur_crf35/X4
"""

import argparse
from pathlib import Path

from fmanet_mm.preparation.compress import compress_clips
from fmanet_mm.utils.names import print_any_name


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'source', type=Path, help='folder with a folder of PNG frames for every clip'
    )
    parser.add_argument('out', type=Path, help='folder to make, laid out alike')
    parser.add_argument(
        '--crf',
        type=float,
        required=True,
        help="H.264's constant rate factor, 0 to 51; 23 is common, 35 is poor",
    )
    return parser.parse_args()


def main() -> None:
    print_any_name()
    args = parse_args()
    clips = compress_clips(**vars(args))
    print(f'{args.out}: {len(clips)} clips, {sum(clips.values()):,} frames')


if __name__ == '__main__':
    main()
