r"""Draw the kernels, flows and features of a network for one frame of its test set.

python tools/analysis_tools/draw_internals.py CONFIG CHECKPOINT OUT_FOLDER

writes kernels.png, flows.png and features.png. To see the features beside those of a
network that was trained without the temporal anchor:

    python tools/analysis_tools/draw_internals.py \
        configs/fmanet_stage2.py work_dirs/fmanet_stage2/iter_300000.pth internals \
        --beside configs/ablations/component_no_ta_stage2.py \
        work_dirs/component_no_ta_stage2/iter_300000.pth
"""

import argparse
from pathlib import Path

from mmagic.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from fmanet_mm.apis.video_restorer import load_model
from fmanet_mm.visualization import draw_features, draw_flows, draw_kernels


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', type=Path, help='config file of stage 2')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('out', type=Path, help='folder for the pictures')
    parser.add_argument(
        '--index', type=int, help='which window of the test set (default: the middle)'
    )
    parser.add_argument(
        '--beside',
        nargs=2,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='another network whose features are drawn below',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    config = Config.fromfile(args.config)
    init_default_scope(config.get('default_scope', 'mmagic'))
    models = {args.config.stem: load_model(config, args.checkpoint)}
    model = models[args.config.stem]
    if args.beside:
        models[Path(args.beside[0]).stem] = load_model(*args.beside)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    index = len(dataset) // 2 if args.index is None else args.index
    sample = dataset[index]
    window = sample['inputs'] / 255
    draw_kernels(model, window, args.out / 'kernels.png')
    draw_flows(
        model, window, args.out / 'flows.png', sample['data_samples'].get('flow')
    )
    draw_features(models, window, args.out / 'features.png')
    print(f'{dataset.get_data_info(index)["key"]} is drawn in {args.out}')


if __name__ == '__main__':
    main()
