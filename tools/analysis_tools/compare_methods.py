r"""Restore a clip or a set by several methods: one table, one page with all of them.

    python tools/analysis_tools/compare_methods.py blurry.mp4 --ground-truth sharp.mp4 \
        --method demo configs/demo/fmanet_demo.safetensors \
        --method bicubic baselines/bicubic \
        --method 'RVRT*' configs/baselines/rvrt.py rvrt.pth \
        --method other results/other \
        --out work_dirs/comparison

A method is an exported network, a config of a network without weights, a config and its
checkpoint, or a folder (or video) of frames that it has restored. REDS4 is the set
data/REDS/train_blur_bicubic/X4 with --ann-file data/REDS/REDS4.txt. LPIPS is measured,
too, if its weights are there.
"""

import argparse
from pathlib import Path

import fmanet_mm.openmmlab  # noqa: F401
from fmanet_mm.evaluation import Method, compare_methods
from fmanet_mm.evaluation.arguments import add_protocol_arguments
from fmanet_mm.utils.names import print_any_name


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('inputs', help='blurry frames')
    parser.add_argument(
        '--method',
        dest='methods',
        nargs='+',
        action='append',
        required=True,
        metavar=('NAME', 'SOURCE'),
        help='name of a method, and its results or its network; once for each method',
    )
    parser.add_argument('--ground-truth', dest='targets', help='sharp frames')
    parser.add_argument('--out', type=Path, required=True, help='folder to write to')
    add_protocol_arguments(parser)
    parser.add_argument('--device', help='default: a GPU if there is one')
    parser.add_argument('--dtype', choices=['fp32', 'bf16', 'fp16'], default='fp32')
    parser.add_argument(
        '--scene-cuts',
        dest='detect_scenes',
        action='store_true',
        help='let no window cross a scene cut; else each clip is one shot, as in tests',
    )
    return parser.parse_args()


def main() -> None:
    print_any_name()
    options = vars(parse_args())
    options['methods'] = [Method.parse(*words) for words in options['methods']]
    print(compare_methods(**options).table())
    print(f'The pages are {options["out"]}/compare*.html')


if __name__ == '__main__':
    main()
