"""Convert BasicSR's released EDVR with pre-deblurring to a checkpoint of fmanet_mm.

    python tools/model_converters/convert_edvr.py \
        EDVR_L_x4_SRblur_REDS_official-983d7b8e.pth --out edvr_predeblur.pth

BasicSR's model zoo has the file. Its network was trained for blurry LR frames of REDS
and reads RGB, as ours does: the weights only change their names.
"""

import argparse

from fmanet_mm.models.baselines.edvr_weights import convert_file
from fmanet_mm.utils import config_root
from fmanet_mm.utils.names import print_any_name


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('file', help="BasicSR's file")
    parser.add_argument('--out', required=True, help='checkpoint to write')
    parser.add_argument(
        '--config',
        default=config_root() / 'baselines/edvr_predeblur.py',
        help='config whose network the weights must fit; default: '
        'configs/baselines/edvr_predeblur.py',
    )
    return parser.parse_args()


def main() -> None:
    print_any_name()
    args = parse_args()
    convert_file(args.config, args.file, args.out)
    print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
