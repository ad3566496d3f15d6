r"""Make a VSRDB set in the layout of REDS from videos of a high frame rate.

From 240 to 30 frames per second:

    python tools/dataset_converters/video_to_vsrdb.py *.mp4 --out data/own \
        --sub-frames 7 --stride 8 --held-out 0.1
"""

import argparse
from pathlib import Path

from fmanet_mm.preparation.video_to_vsrdb import VSRDBRecipe, convert_videos
from fmanet_mm.utils.names import print_any_name


class HelpFormatter(
    argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter
):
    """Keeps the line breaks of the example and shows the defaults."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument(
        'sources', nargs='+', type=Path, help='video files and folders of frames'
    )
    parser.add_argument(
        '--out',
        type=Path,
        required=True,
        default=argparse.SUPPRESS,
        help='folder of the set',
    )
    parser.add_argument(
        '--sub-frames',
        type=int,
        required=True,
        default=argparse.SUPPRESS,
        metavar='N',
        help='source frames averaged to a blurry frame, odd',
    )
    parser.add_argument(
        '--stride',
        type=int,
        default=argparse.SUPPRESS,
        help='source frames from one frame of the set to the next (default: N)',
    )
    parser.add_argument(
        '--linear-light',
        action='store_true',
        help='average light (sRGB decoded) instead of pixel values',
    )
    parser.add_argument('--scale', type=int, default=4, help='ratio of HR to LR size')
    parser.add_argument(
        '--downscale',
        type=int,
        default=1,
        help='downsample the source by this ratio first; for compressed or noisy video',
    )
    parser.add_argument(
        '--clip-length',
        type=int,
        default=100,
        help='largest number of frames in a clip',
    )
    parser.add_argument(
        '--min-clip-length',
        type=int,
        default=3,
        help='smallest number of frames in a clip',
    )
    parser.add_argument(
        '--held-out',
        type=float,
        default=0.0,
        help='fraction of each source, its last part, that goes to the split val',
    )
    return parser.parse_args()


def main() -> None:
    print_any_name()
    options = vars(parse_args())
    sources, out = options.pop('sources'), options.pop('out')
    clips = convert_videos(sources, out, VSRDBRecipe(**options))
    for split in ('train', 'val'):
        lengths = [clip.num_frames for clip in clips if clip.split == split]
        print(f'{split}: {len(lengths)} clips, {sum(lengths)} frames')
    print(f'The set is in {out}')


if __name__ == '__main__':
    main()
