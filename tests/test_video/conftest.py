from fractions import Fraction

import av
import cv2
import numpy as np
import pytest


@pytest.fixture
def write_video():
    """Write RGB images as a video with PyAV."""

    def write(path, images, fps=25, codec='libx264', container_options=None):
        with av.open(str(path), 'w', options=container_options or {}) as container:
            stream = container.add_stream(
                codec, rate=Fraction(fps), options={'crf': '4'}
            )
            stream.height, stream.width = images[0].shape[:2]
            stream.pix_fmt = 'yuv420p'
            for image in images:
                frame = av.VideoFrame.from_ndarray(image, 'rgb24')
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture
def make_video(write_video):
    """Write a video of flat frames, frame i of grey 10 * i + 20."""

    def make(path, num_frames=5, **kwargs):
        grey = [10 * index + 20 for index in range(num_frames)]
        images = [np.full((48, 64, 3), value, np.uint8) for value in grey]
        return write_video(path, images, **kwargs)

    return make


@pytest.fixture
def make_folder():
    """Write images, given by name, as OpenCV writes them (BGR, grey, BGRA)."""

    def make(folder, images):
        folder.mkdir()
        for name, image in images.items():
            assert cv2.imwrite(str(folder / name), image)
        return folder

    return make
