"""Plot input, restoration and ground truth of one frame of the test set.

python tools/analysis_tools/draw_comparison.py CONFIG CHECKPOINT OUT.png
"""

import argparse

from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

import fmanet_mm.openmmlab  # noqa: F401
from fmanet_mm.restoration import load_network
from fmanet_mm.utils.names import print_any_name
from fmanet_mm.visualization.comparison import plot_comparison


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of stage 2')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('out', help='PNG to write')
    parser.add_argument(
        '--index',
        type=int,
        help='index of the window in the test set (default: the middle)',
    )
    return parser.parse_args()


def main() -> None:
    print_any_name()
    args = parse_args()
    config = Config.fromfile(args.config)
    init_default_scope(config.get('default_scope', 'mmagic'))
    network = load_network(args.checkpoint, config)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    index = len(dataset) // 2 if args.index is None else args.index
    sample = dataset[index]
    window, truth = sample['inputs'] / 255, sample['data_samples'].gt_img / 255
    plot_comparison(network, window, truth, args.out)
    print(f'{dataset.get_data_info(index)["key"]} is plotted in {args.out}')


if __name__ == '__main__':
    main()
