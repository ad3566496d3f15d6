r"""Plot what a network makes of fast motion, and where it fails, with a table of each.

    python tools/analysis_tools/draw_limits.py \
        configs/demo/fmanet_demo.safetensors pictures

writes motion.jpg and failures.jpg. The same synthetic scenes are seen under every
condition: motion by numbers of LR pixels a frame, then noise, compression and defocus.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor, nn

import fmanet_mm.openmmlab  # noqa: F401
from fmanet_mm.datasets import RealisticDegradation, SyntheticMotionDataset
from fmanet_mm.engine.loop import OF_SAMPLE, seed_generators
from fmanet_mm.models.baselines.bicubic import BicubicUpsampling
from fmanet_mm.restoration import load_network
from fmanet_mm.restoration.images import to_image, to_tensor
from fmanet_mm.utils.names import print_any_name
from fmanet_mm.utils.quality import psnr
from fmanet_mm.visualization.panels import save_figure, show_image

BORDER = 4
"""Pixels at the borders that are not measured, as in the published protocol."""


class Condition(NamedTuple):
    """How a scene is seen.

    Attributes:
        name (str): What to call it.
        motion (float): Mean motion in LR pixels a frame.
        degradation (dict | None): Steps of :class:`RealisticDegradation` that always
            happen, None for none.
    """

    name: str
    motion: float
    degradation: dict | None = None


MOTIONS = [Condition(f'{motion} px', motion) for motion in (2, 4, 8)]
FAILURES = [
    Condition('16 px', 16),
    Condition(
        'noise, sigma 8',
        2,
        dict(noise=dict(noise_prob=[1, 0], gaussian_sigma=[8, 8])),
    ),
    Condition('H.264, CRF 35', 2, dict(compression=dict(crf=[35, 35]))),
    Condition(
        'out of focus, sigma 1.5 px',
        2,
        dict(blur=dict(kernel_prob=[1, 0], sigma_x=[1.5, 1.5], sigma_y=[1.5, 1.5])),
    ),
]
FIGURES = {'motion': MOTIONS, 'failures': FAILURES}


class Seen(NamedTuple):
    """A scene under a condition, uint8 RGB.

    Attributes:
        blurry (np.ndarray): Blurry LR centre frame, enlarged without interpolation.
        bicubic (np.ndarray): The same by bicubic upsampling.
        restored (np.ndarray): The network's output.
        sharp (np.ndarray): The truth.
    """

    blurry: np.ndarray
    bicubic: np.ndarray
    restored: np.ndarray
    sharp: np.ndarray

    def quality(self) -> tuple[float, float]:
        """PSNR of bicubic upsampling and of the network, in dB."""
        return tuple(
            psnr(image, self.sharp, BORDER) for image in (self.bicubic, self.restored)
        )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', help='exported network or checkpoint')
    parser.add_argument('out', type=Path, help='folder for the figures')
    parser.add_argument('--config', help='config file, unless it is in the checkpoint')
    parser.add_argument('--scenes', type=int, default=8, help='to average over')
    parser.add_argument('--shown', type=int, default=0, help='the scene to plot')
    parser.add_argument('--seed', type=int, default=7, help='of the scenes')
    parser.add_argument(
        '--size', type=int, nargs=2, default=(72, 96), metavar=('H', 'W')
    )
    args = parser.parse_args()
    if not 0 <= args.shown < args.scenes:
        parser.error(f'--shown must be below --scenes, got {args.shown}')
    return args


def see(
    network: nn.Module, condition: Condition, args: argparse.Namespace
) -> Iterator[Seen]:
    """Render the scenes under a condition, and restore them."""
    dataset = SyntheticMotionDataset(
        size=tuple(args.size),
        scale=network.scale,
        num_input_frames=network.num_frames,
        motion=(condition.motion, condition.motion),
        seed=args.seed,
        pipeline=[],
    )
    for index in range(args.scenes):
        sample = dataset.get_data_info(index)
        if condition.degradation is not None:
            seed_generators(args.seed, OF_SAMPLE, index)
            sample = only(condition.degradation)(sample)
        yield restore(network, sample)


def only(steps: dict) -> RealisticDegradation:
    """The degradation by some steps, which always happen, and no others."""
    off = dict.fromkeys(('blur', 'noise', 'resize', 'compression'), dict(prob=0))
    always = {name: dict(step, prob=1) for name, step in steps.items()}
    return RealisticDegradation(probability=1, **off | always)


@torch.no_grad()
def restore(network: nn.Module, sample: dict) -> Seen:
    window = torch.stack([to_tensor(frame) for frame in sample['img']])[None]
    centre = len(sample['img']) // 2
    scale = network.scale

    def image(frame: Tensor) -> np.ndarray:
        return to_image(frame[0])

    return Seen(
        sample['img'][centre].repeat(scale, axis=0).repeat(scale, axis=1),
        image(BicubicUpsampling(scale)(window)),
        image(network(window)),
        sample['gt'][centre],
    )


def plot(rows: dict[str, Seen], path: Path) -> None:
    """Plot a row for each condition."""
    height, width = next(iter(rows.values())).sharp.shape[:2]
    figure, axes = plt.subplots(
        len(rows),
        len(Seen._fields),
        figsize=(16, len(rows) * (4 * height / width + 0.3)),
        layout='constrained',
        squeeze=False,
    )
    for row, (name, seen) in zip(axes, rows.items(), strict=True):
        before, after = seen.quality()
        titles = (
            f'input: {name}',
            f'bicubic, {before:.2f} dB',
            f'restored, {after:.2f} dB',
            'sharp',
        )
        for axis, image, title in zip(row, seen, titles, strict=True):
            show_image(axis, image, title)
    save_figure(figure, path)


def main() -> None:
    print_any_name()
    args = parse_args()
    network = load_network(args.checkpoint, args.config).eval()
    for stem, conditions in FIGURES.items():
        shown = {}
        print('| condition | bicubic | restored | gain |\n|---|---|---|---|')
        for condition in conditions:
            qualities = []
            for index, seen in enumerate(see(network, condition, args)):
                qualities.append(seen.quality())
                if index == args.shown:
                    shown[condition.name] = seen
            before, after = np.mean(qualities, axis=0)
            print(
                f'| {condition.name} | {before:.2f} | {after:.2f} | '
                f'{after - before:+.2f} |',
                flush=True,
            )
        path = args.out / f'{stem}.jpg'
        plot(shown, path)
        print(f'{path}\n')


if __name__ == '__main__':
    main()
