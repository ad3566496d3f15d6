from fractions import Fraction

import av
import numpy as np
import pytest
from helpers import moving_images

from fmanet_mm.cli.restore_video import main


@pytest.fixture
def restore(config_file, checkpoint):
    """Run the command with the tiny network."""

    def run(*arguments):
        network = ['--config', config_file, '--checkpoint', checkpoint]
        return main([*map(str, arguments), *network, '--device', 'cpu'])

    return run


@pytest.fixture
def make_video(tmp_path):
    """A video file, with frames at the times that are given, and with audio."""

    def make(name, times, audio=False, images=None):
        with av.open(str(tmp_path / name), 'w') as container:
            video = container.add_stream('libx264', rate=25, options={'crf': '8'})
            images = images or moving_images(len(times), (16, 24))
            video.height, video.width = images[0].shape[:2]
            video.pix_fmt = 'yuv420p'
            video.codec_context.time_base = Fraction(1, 1000)
            stream = container.add_stream('aac', rate=16000) if audio else None
            for image, time in zip(images, times, strict=True):
                frame = av.VideoFrame.from_ndarray(image, 'rgb24')
                frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
                container.mux(video.encode(frame))
            container.mux(video.encode())
            if audio:
                _add_audio(container, stream, duration=times[-1])
        return tmp_path / name

    return make


def _add_audio(container, stream, duration):
    samples = np.sin(np.arange(int(16000 * duration)) / 20) * 20000
    for start in range(0, len(samples), 1024):
        part = samples[start : start + 1024].astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(part, 's16', 'mono')
        frame.sample_rate, frame.pts = 16000, start
        frame.time_base = Fraction(1, 16000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
