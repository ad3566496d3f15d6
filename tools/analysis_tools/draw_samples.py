r"""Plot what training sees: a window several times, with other random transforms.

    python tools/analysis_tools/draw_samples.py \
        configs/fmanet_real_stage1.py samples.png

Crops, flips and the like are left out, so that the pictures can be compared.
"""

import argparse

import matplotlib.pyplot as plt
from mmagic.registry import DATASETS
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.registry import init_default_scope

import fmanet_mm.openmmlab  # noqa: F401
from fmanet_mm.engine.loop import OF_SAMPLE, seed_generators
from fmanet_mm.utils.names import print_any_name
from fmanet_mm.visualization.panels import save_figure, show_image

GEOMETRY = 'VSRDBRandom'
"""Types of the transforms that are left out begin with this."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of a training')
    parser.add_argument('out', help='PNG to write')
    parser.add_argument('--index', type=int, default=0, help='index of the window')
    parser.add_argument('--number', type=int, default=5, help='how many times')
    parser.add_argument('--seed', type=int, default=0, help='of the random transforms')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args()


def first_dataset(config: Config) -> ConfigDict:
    """The training set, or the first of several, without random geometry."""
    dataset = config.train_dataloader.dataset
    dataset = dataset.get('datasets', [dataset])[0]
    dataset.pipeline = [
        step for step in dataset.pipeline if not step.type.startswith(GEOMETRY)
    ]
    return dataset


def main() -> None:
    print_any_name()
    args = parse_args()
    config = Config.fromfile(args.config)
    config.merge_from_dict(args.cfg_options or {})
    init_default_scope(config.get('default_scope', 'mmagic'))
    dataset = DATASETS.build(first_dataset(config))
    samples = []
    for number in range(args.number):
        seed_generators(args.seed, OF_SAMPLE, number)
        samples.append(dataset[args.index])

    centre = len(samples[0]['inputs']) // 2
    inputs = [sample['inputs'][centre] for sample in samples]
    sharp = samples[0]['data_samples'].gt_img
    sharp = sharp[centre] if sharp.dim() == 4 else sharp
    images = {f'input, sample {n}': image for n, image in enumerate(inputs)}
    images['sharp'] = sharp
    height = 3 * sharp.shape[-2] / sharp.shape[-1] + 0.3
    figure, axes = plt.subplots(
        1, len(images), figsize=(3 * len(images), height), layout='constrained'
    )
    for axis, (title, image) in zip(axes, images.items(), strict=True):
        show_image(axis, image.permute(1, 2, 0), title)
    save_figure(figure, args.out)
    print(f'{dataset.get_data_info(args.index)["key"]} is plotted in {args.out}')


if __name__ == '__main__':
    main()
