"""Convert the authors' released weights to a checkpoint of fmanet_mm.

    python tools/model_converters/convert_official.py \
        --netd model_D_best.pt --netr model_R_best.pt --out fmanet_reds.pth

The authors' network reads BGR, ours RGB: the colour channels of the weights are
reversed, which gives the same output.
"""

import argparse

from fmanet_mm.models.fmanet.official_weights import convert_files
from fmanet_mm.utils import config_root
from fmanet_mm.utils.names import print_any_name


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--netd', required=True, help="the authors' NetD file")
    parser.add_argument('--netr', help="the authors' NetR file (stage 2)")
    parser.add_argument('--out', required=True, help='checkpoint to write')
    parser.add_argument(
        '--channel-order',
        choices=('rgb', 'bgr'),
        default='rgb',
        help='colour order that the converted network reads and writes; the configs '
        'of this project need rgb (default)',
    )
    parser.add_argument(
        '--config',
        help='config whose network the weights must fit; default: '
        'configs/fmanet_stage2.py, without --netr configs/fmanet_stage1.py',
    )
    return parser.parse_args()


def main() -> None:
    print_any_name()
    args = parse_args()
    default = 'fmanet_stage2.py' if args.netr else 'fmanet_stage1.py'
    convert_files(
        args.config or config_root() / default,
        args.netd,
        args.netr,
        args.out,
        args.channel_order,
    )
    print(f'wrote {args.out}; it reads and writes {args.channel_order.upper()}')


if __name__ == '__main__':
    main()
