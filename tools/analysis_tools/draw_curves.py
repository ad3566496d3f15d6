r"""Plot losses, measures and learning rates of trainings in one figure.

python tools/analysis_tools/draw_curves.py work_dirs/fmanet_stage1 \
    work_dirs/component_no_ta_stage1 --out curves.png
"""

import argparse
from pathlib import Path

from fmanet_mm.utils.names import print_any_name
from fmanet_mm.visualization.curves import plot_curves, read_log


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'work_dirs', nargs='+', type=Path, help='work folders of trainings'
    )
    parser.add_argument('--out', required=True, help='PNG, PDF or SVG to write')
    return parser.parse_args()


def main() -> None:
    print_any_name()
    args = parse_args()
    plot_curves({folder.name: read_log(folder) for folder in args.work_dirs}, args.out)
    print(f'The curves are in {args.out}')


if __name__ == '__main__':
    main()
