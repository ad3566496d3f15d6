"""Lossy compression of a clip in memory, to degrade frames as a video file would."""

from collections.abc import Iterable
from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from .colour import MATRIX_BT601, from_rgb, to_rgb
from .encoding import find_options

_CODEC = 'libx264'
_PIXEL_FORMAT = 'yuv420p'
_FPS = Fraction(30)


def compress_frames(frames: Iterable[np.ndarray], crf: float) -> list[np.ndarray]:
    """Encode the frames of a clip as H.264 of constant quality, and decode them.

    Colour is stored at half the resolution (YUV 4:2:0), as usual. Odd sizes are
    extended by a row or a column, which is removed again. The result is the same on
    every processor and for any number of cores.

    Args:
        frames (Iterable[np.ndarray]): uint8 RGB frames of one shape (H, W, 3).
        crf (float): Constant rate factor from 0 to 51; 23 is the encoder's default, and
            from about 30 on artefacts are plain to see.

    Returns:
        list[np.ndarray]: As many frames of the same shape.

    Raises:
        ValueError: If there are no frames, their shapes differ, or ``crf`` is out of
            range.
    """
    frames = [*frames]
    shapes = {frame.shape for frame in frames}
    if len(shapes) != 1:
        raise ValueError(
            'frames must hold at least one frame, all of one shape (H, W, 3), got '
            f'shapes {sorted(shapes)}'
        )
    height, width = frames[0].shape[:2]
    padding = (0, height % 2, 0, width % 2)
    padded = [
        cv2.copyMakeBorder(frame, *padding, cv2.BORDER_REPLICATE) for frame in frames
    ]
    decoded = _decode(_encode(padded, find_options(_CODEC, crf)))
    if len(decoded) != len(frames):
        raise RuntimeError(
            f'{_CODEC} returned {len(decoded)} frames for {len(frames)}; this build '
            'of FFmpeg cannot be used to compress frames'
        )
    return [frame[:height, :width] for frame in decoded]


def _encode(frames: list[np.ndarray], options: dict[str, str]) -> list[av.Packet]:
    height, width = frames[0].shape[:2]
    encoder = av.CodecContext.create(_CODEC, 'w')
    encoder.height, encoder.width = height, width
    encoder.pix_fmt = _PIXEL_FORMAT
    encoder.framerate, encoder.time_base = _FPS, 1 / _FPS
    # Threads would change the result, and other workers have the other cores.
    encoder.thread_count = 1
    encoder.options = {**options, 'x264-params': 'cpu-independent=1'}
    reformatter = VideoReformatter()
    packets = []
    for number, frame in enumerate(frames):
        picture = from_rgb(frame, _PIXEL_FORMAT, reformatter, MATRIX_BT601)
        picture.pts, picture.time_base = number, encoder.time_base
        packets += encoder.encode(picture)
    return packets + encoder.encode(None)


def _decode(packets: list[av.Packet]) -> list[np.ndarray]:
    decoder = av.CodecContext.create('h264', 'r')
    decoder.thread_count = 1
    reformatter = VideoReformatter()
    pictures = [picture for packet in packets for picture in decoder.decode(packet)]
    pictures += decoder.decode(None)
    for picture in pictures:
        picture.colorspace = MATRIX_BT601
    return [to_rgb(picture, reformatter) for picture in pictures]
