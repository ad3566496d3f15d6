r"""Make REDS-ME, a set with five exposures, from REDS at 120 frames per second.

Each source is one clip. Without interpolation:

    python tools/dataset_converters/reds_me/prepare_reds_me.py data/REDS/train_orig/* \
        --out data/REDS_ME

From frames that another program interpolated to 1920 per second, as in the paper:

    python tools/dataset_converters/reds_me/prepare_reds_me.py train_1920fps/* \
        --out data/REDS_ME --sub-frames 80

From other video of a high frame rate, cut at scene cuts, here 240 to 24 per second:

    python tools/dataset_converters/reds_me/prepare_reds_me.py *.mp4 --out data/own_me \
        --sub-frames 10 --cut --held-out 0.1
"""

import argparse
from pathlib import Path

from fmanet_mm.preparation.reds_me import MultiExposureRecipe
from fmanet_mm.preparation.video_to_vsrdb import convert_videos
from fmanet_mm.utils.names import print_any_name


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'sources', nargs='+', type=Path, help='folders of frames and video files'
    )
    parser.add_argument('--out', type=Path, required=True, help='folder of the set')
    parser.add_argument(
        '--sub-frames',
        type=int,
        default=5,
        metavar='N',
        help='source frames per frame of the set, a multiple of 5 (default: 5)',
    )
    parser.add_argument(
        '--gt-offset',
        type=int,
        metavar='K',
        help='source frame of each N, from 0, that is the sharp frame (default: 0.4 N)',
    )
    parser.add_argument(
        '--linear-light',
        action='store_true',
        help='average light (sRGB decoded) instead of pixel values',
    )
    parser.add_argument(
        '--scale', type=int, default=4, help='ratio of HR to LR size (default: 4)'
    )
    parser.add_argument(
        '--downscale',
        type=int,
        default=1,
        help='downsample the source by this ratio first (default: 1)',
    )
    parser.add_argument(
        '--cut',
        action='store_true',
        help='cut sources at scene cuts and into clips of at most 100 frames',
    )
    parser.add_argument(
        '--held-out',
        type=float,
        default=0.0,
        help='with --cut: fraction of each source that goes to the split val '
        '(default: 0)',
    )
    return parser.parse_args()


def main() -> None:
    print_any_name()
    options = vars(parse_args())
    sources, out = options.pop('sources'), options.pop('out')
    recipe = MultiExposureRecipe(whole_sources=not options.pop('cut'), **options)
    clips = convert_videos(sources, out, recipe)
    for split in dict.fromkeys(clip.split for clip in clips):
        lengths = [clip.num_frames for clip in clips if clip.split == split]
        print(f'{split}: {len(lengths)} clips, {sum(lengths)} frames at 5 levels')
        print(
            f'  python tools/generate_flow.py --data-root {out} --sharp-lr '
            f'{split}_sharp_bicubic/X{recipe.scale} --out {split}_flow/X{recipe.scale}'
        )
    print(f'The set is in {out}; the commands above make the flow for training')


if __name__ == '__main__':
    main()
