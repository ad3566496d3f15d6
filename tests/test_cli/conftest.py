from fractions import Fraction

import av
import numpy as np
import pytest
from test_apis.conftest import (  # noqa: F401
    checkpoint,
    config_file,
    make_clip,
    make_config,
    make_model,
)

from fmanet_mm.cli.restore_video import main


def moving_image(index, size=(16, 24)):
    """A frame of a clip that moves, uint8."""
    y, x = np.mgrid[: size[0], : size[1]]
    wave = 127 + 100 * np.sin(0.7 * x + 0.5 * y + index)
    return np.stack((wave, wave[::-1], 0 * wave + 10 * index), axis=2).astype(np.uint8)


@pytest.fixture
def restore(config_file, checkpoint):  # noqa: F811
    """Run the command with the tiny network."""

    def run(*arguments):
        network = ['--config', config_file, '--checkpoint', checkpoint]
        return main([*map(str, arguments), *network, '--device', 'cpu'])

    return run


@pytest.fixture
def make_video(tmp_path):
    """A video file, with frames at the times that are given, and with sound."""

    def make(name, times, sound=False, images=None):
        with av.open(str(tmp_path / name), 'w') as container:
            video = container.add_stream('libx264', rate=25, options={'crf': '8'})
            images = images or [moving_image(index) for index in range(len(times))]
            video.height, video.width = images[0].shape[:2]
            video.pix_fmt = 'yuv420p'
            video.codec_context.time_base = Fraction(1, 1000)
            audio = container.add_stream('aac', rate=16000) if sound else None
            for image, time in zip(images, times, strict=True):
                frame = av.VideoFrame.from_ndarray(image, 'rgb24')
                frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
                container.mux(video.encode(frame))
            container.mux(video.encode())
            if sound:
                _add_sound(container, audio, duration=times[-1])
        return tmp_path / name

    return make


def _add_sound(container, stream, duration):
    samples = np.sin(np.arange(int(16000 * duration)) / 20) * 20000
    for start in range(0, len(samples), 1024):
        part = samples[start : start + 1024].astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(part, 's16', 'mono')
        frame.sample_rate, frame.pts = 16000, start
        frame.time_base = Fraction(1, 16000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
