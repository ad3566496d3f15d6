import os

import pytest
from helpers import moving_images, tiny_config, tiny_network

from fmanet_mm.cli.restore_video import main


@pytest.fixture(scope='session')
def network(tmp_path_factory):
    """Arguments that name a tiny network."""
    import torch

    folder = tmp_path_factory.mktemp('network')
    tiny_config().dump(folder / 'config.py')
    torch.save(dict(state_dict=tiny_network().state_dict()), folder / 'a.pth')
    return [
        '--config', str(folder / 'config.py'), '--checkpoint', str(folder / 'a.pth'),
        '--device', 'cpu',
    ]  # fmt: skip


@pytest.fixture
def run_command(network):
    """Run the command with the tiny network; give its exit code."""

    def run(*arguments):
        return main([*map(os.fspath, arguments), *network])

    return run


@pytest.fixture
def make_clip(tmp_path):
    """Write a short clip, a video file or a folder of images; gives its path."""
    from fmanet_mm.video.writer import open_writer

    def make(name, num_frames=3, size=(10, 14)):
        path = tmp_path / name
        with open_writer(path, fps=25) as writer:
            for image in moving_images(num_frames, size):
                writer.write(image)
        return path

    return make
