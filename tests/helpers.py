"""A tiny network and short clips, for the tests of what restores videos."""

import cv2
import numpy as np
import torch
from mmengine.config import Config

from fmanet_mm.restoration.loading import build_network
from fmanet_mm.video.options import ReadOptions
from fmanet_mm.video.reader import open_frames


def tiny_config(stage=2, scale=2, **sizes):
    """Config of a network as small as it gets that still has all parts."""
    architecture = dict(
        channels=30,
        num_frames=3,
        scale=scale,
        num_flows=2,
        num_blocks=2,
        num_attention_blocks=1,
        num_heads=2,
        num_rdbs=1,
        growth_channels=4,
        num_dense_layers=2,
        degradation_kernel_size=scale + 4,
    )
    architecture.update(sizes)
    kind = {1: 'FMANetStage1', 2: 'FMANet'}[stage]
    return Config(dict(model=dict(type=kind, architecture=architecture)))


def tiny_network(**sizes):
    """The network of :func:`tiny_config`, with the same random weights each time."""
    torch.manual_seed(0)
    return build_network(tiny_config(**sizes)).eval()


def tiny_pp_config(kind='FMANetPP', scale=2, exposure=True, net_r=None, **sizes):
    """Config of a tiny FMA-Net++ that still has all parts."""
    architecture = dict(
        channels=12,
        scale=scale,
        num_flows=2,
        num_blocks=2,
        num_attention_blocks=1,
        num_heads=2,
        num_rdbs=1,
        growth_channels=4,
        num_dense_layers=2,
        modulation_channels=4,
        degradation_kernel_size=scale + 4,
    )
    architecture.update(sizes)
    model = dict(
        type=kind,
        architecture=architecture,
        exposure=dict(type='ExposureExtractor', width=4, num_stages=2),
    )
    if kind == 'FMANetPP':
        model['net_r'] = net_r or {}
    if exposure is False:
        model['exposure'] = None
    return Config(dict(model=model))


def tiny_pp_network(**options):
    """The network of :func:`tiny_pp_config`, random also where training starts at zero.

    The last layers of modulation are zero at first, and would hide the exposure.
    """
    torch.manual_seed(0)
    network = build_network(tiny_pp_config(**options)).eval()
    for name, parameter in network.named_parameters():
        if '.modulation.' in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return network


def moving_images(num_frames, size=(10, 14)):
    """Images of a pattern that moves, uint8."""
    y, x = np.mgrid[: size[0], : size[1]]
    images = []
    for index in range(num_frames):
        wave = 127 + 100 * np.sin(0.7 * x + 0.5 * y + index)
        image = np.stack((wave, wave[::-1], 0 * wave + 10 * index), axis=2)
        images.append(image.astype(np.uint8))
    return images


def noise_images(num_frames, size=(9, 13), seed=0, dtype=np.uint8):
    """Images of noise over the full range."""
    generator = np.random.default_rng(seed)
    shape = (num_frames, *size, 3)
    return list(generator.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True))


def two_shots():
    """Noise on a dark, then on a bright ground: 5 frames and 4."""
    dark = [image // 4 for image in noise_images(5)]
    bright = [image // 4 + 190 for image in noise_images(4, seed=1)]
    return dark, bright


def write_folder(path, images):
    """Write a clip as a folder of PNG images; gives its path."""
    path.mkdir()
    for index, image in enumerate(images):
        # OpenCV crashes at paths that are not UTF-8.
        data = cv2.imencode('.png', image[..., ::-1])[1]
        (path / f'{index:04d}.png').write_bytes(data)
    return path


def read_clip(path):
    """All frames of a clip, of 16 bits if it has them."""
    with open_frames(path, ReadOptions(keep_depth=True)) as frames:
        return list(frames)


def same_files(folder, other):
    """Whether two folders hold files of the same names and bytes."""
    contents = [
        {path.name: path.read_bytes() for path in place.iterdir()}
        for place in (folder, other)
    ]
    return contents[0] == contents[1]


def interrupt_at(number):
    """A ``progress`` that interrupts when a number of frames is written."""

    def progress(done, total):
        if done == number:
            raise KeyboardInterrupt

    return progress
