"""Convert the released weights of STFAN to a checkpoint of fmanet_mm.

    python tools/model_converters/convert_stfan.py best-ckpt.pth.tar stfan_dvd.pth

They are those of video deblurring, trained on DVD. The converted file fits
configs/baselines/stfan.py, and stfan_bicubic.py to start the training from. STFAN reads
BGR, the converted network RGB, with the same output.
"""

import argparse

from fmanet_mm.models.baselines.stfan.official_weights import convert_stfan_file
from fmanet_mm.utils.names import print_any_name


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', help='the released file')
    parser.add_argument('out', help='checkpoint to write')
    return parser.parse_args()


def main() -> None:
    print_any_name()
    args = parse_args()
    convert_stfan_file(args.source, args.out)
    print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
