r"""Plot the kernels, flows and features of a network for one frame of the test set.

python tools/analysis_tools/draw_internals.py CONFIG CHECKPOINT OUT_FOLDER

writes kernels.png, flows.png and features.png. To compare the features with those of a
network trained without the temporal anchor:

    python tools/analysis_tools/draw_internals.py \
        configs/fmanet_stage2.py work_dirs/fmanet_stage2/iter_300000.pth internals \
        --beside configs/ablations/component_no_ta_stage2.py \
        work_dirs/component_no_ta_stage2/iter_300000.pth
"""

import argparse
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope

import fmanet_mm.openmmlab  # noqa: F401
from fmanet_mm.models.fmanet.fmanet import FMANetStage1
from fmanet_mm.models.fmanet.plots import plot_features, plot_flows, plot_kernels
from fmanet_mm.utils.checkpoint import load_state_dict_file
from fmanet_mm.utils.names import print_any_name


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', type=Path, help='config file of stage 1 or 2')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('out', type=Path, help='folder for the figures')
    parser.add_argument(
        '--index',
        type=int,
        help='index of the window in the test set (default: the middle)',
    )
    parser.add_argument(
        '--beside',
        nargs=2,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='another network whose features are plotted below',
    )
    return parser.parse_args()


def load(config: Config, checkpoint: str) -> FMANetStage1:
    model = MODELS.build(config.model)
    model.load_state_dict(load_state_dict_file(checkpoint))
    return model.eval()


def main() -> None:
    print_any_name()
    args = parse_args()
    config = Config.fromfile(args.config)
    init_default_scope(config.get('default_scope', 'mmagic'))
    model = load(config, args.checkpoint)
    models = {args.config.stem: model}
    if args.beside:
        other, checkpoint = args.beside
        models[Path(other).stem] = load(Config.fromfile(other), checkpoint)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    index = len(dataset) // 2 if args.index is None else args.index
    sample = dataset[index]
    window = sample['inputs'] / 255
    plot_kernels(model, window, args.out / 'kernels.png')
    plot_flows(
        model, window, args.out / 'flows.png', sample['data_samples'].get('flow')
    )
    plot_features(models, window, args.out / 'features.png')
    print(f'{dataset.get_data_info(index)["key"]} is plotted in {args.out}')


if __name__ == '__main__':
    main()
