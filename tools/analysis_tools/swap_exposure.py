r"""Show what FMA-Net++ does when it is given another exposure than the frames have.

python tools/analysis_tools/swap_exposure.py CONFIG CHECKPOINT

takes clips of the validation set at each level and prints, for every pair of levels,
the spread of the degradation kernels and, for a network that restores, the PSNR. A
network that uses exposures estimates wider kernels when it is given a longer one.
"""

import argparse
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

import fmanet_mm.openmmlab  # noqa: F401
from fmanet_mm.evaluation.exposure import swap_exposure
from fmanet_mm.restoration.loading import load_network
from fmanet_mm.utils.exposure import EXPOSURE_LEVELS
from fmanet_mm.utils.names import print_any_name


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', type=Path, help='config file of stage 1 or 2')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--clips', type=int, default=4, help='number of clips (default: 4)'
    )
    parser.add_argument(
        '--levels',
        type=int,
        nargs='+',
        choices=range(1, EXPOSURE_LEVELS + 1),
        default=[1, EXPOSURE_LEVELS],
        help='levels of exposure to swap (default: 1 and 5)',
    )
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu'
    )
    return parser.parse_args()


def main() -> None:
    print_any_name()
    args = parse_args()
    config = Config.fromfile(args.config)
    init_default_scope(config.get('default_scope', 'mmagic'))
    model = load_network(args.checkpoint, config).to(args.device)
    dataset = config.val_dataloader.dataset
    datasets = {
        level: DATASETS.build(dict(dataset, levels=[level])) for level in args.levels
    }
    count = min(args.clips, *map(len, datasets.values()))
    total = len(datasets[args.levels[0]])
    # The middle of each of equal parts.
    indices = [(2 * i + 1) * total // (2 * count) for i in range(count)]
    print(swap_exposure(model, datasets, indices).table())


if __name__ == '__main__':
    main()
