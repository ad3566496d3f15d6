"""Measure what decoding and encoding beside the network gains.

    python benchmarks/pipeline.py --codecs libx264 libx265 png

A video of moving noise is restored from file to file by the weights of the demo, with
decoder, network and encoder in threads of their own, and one after the other. The two
take turns, so that other load on the machine affects both alike; compare the ratio.
"""

import argparse
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import av
import numpy as np
import torch

from fmanet_mm.restoration import RestoreOptions, VideoRestorer, WriteOptions
from fmanet_mm.utils import config_root

MODULE = 'fmanet_mm.restoration.video_restorer'
WEIGHTS = config_root() / 'demo' / 'fmanet_demo.safetensors'


class Sink:
    """Calls the function at once; the form without threads."""

    def __init__(self, function: Callable[[Any], Any], depth: int) -> None:
        self.put = function

    def __enter__(self) -> 'Sink':
        return self

    def __exit__(self, *exc_info) -> None:
        pass


def read(items: Iterable[Any], depth: int) -> Iterator[Any]:
    """Read items when they are asked for; the form without threads."""
    yield from items


@contextmanager
def one_after_the_other() -> Iterator[None]:
    """Decode, compute and encode in one thread within the block."""
    with patch(f'{MODULE}.prefetch', read), patch(f'{MODULE}.BackgroundSink', Sink):
        yield


def write_clip(path: Path, num_frames: int, height: int, width: int) -> Path:
    """Write a video of noise that moves by a pixel a frame."""
    generator = np.random.default_rng(0)
    shape = (height + num_frames, width + num_frames, 3)
    noise = generator.integers(0, 256, shape, np.uint8)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25, options={'crf': '20'})
        stream.height, stream.width, stream.pix_fmt = height, width, 'yuv420p'
        for number in range(num_frames):
            image = noise[number : number + height, number : number + width]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), 'rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def seconds(restorer: VideoRestorer, clip: Path, codec: str) -> float:
    """Wall-clock time of restoring the clip, to a file or a folder of images."""
    options = RestoreOptions(detect_scenes=False)
    name = 'out'
    if codec != 'png':
        name = 'out.mkv'
        options = RestoreOptions(detect_scenes=False, write=WriteOptions(codec=codec))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        restorer.restore_video(clip, Path(folder, name), options)
        return time.perf_counter() - start


def measure(
    restorer: VideoRestorer, clip: Path, codec: str, repeats: int
) -> tuple[list[float], list[float]]:
    """Seconds in turns: one after the other, and in threads."""
    serial, threaded = [], []
    for turn in range(repeats + 1):
        with one_after_the_other():
            alone = seconds(restorer, clip, codec)
        beside = seconds(restorer, clip, codec)
        if turn:  # the first fills caches
            serial.append(alone)
            threaded.append(beside)
    return serial, threaded


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--checkpoint', default=WEIGHTS, type=Path)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--dtype', default='fp32')
    parser.add_argument('--frames', type=int, default=60)
    parser.add_argument('--size', type=int, nargs=2, default=(144, 176))
    parser.add_argument(
        '--codecs',
        nargs='+',
        default=['libx264', 'libx265', 'png'],
        help='encoders of the output; png writes a folder',
    )
    parser.add_argument('--repeats', type=int, default=3)
    args = parser.parse_args()
    config = None if args.checkpoint.suffix == '.safetensors' else 'fmanet_stage2'
    restorer = VideoRestorer.load(
        args.checkpoint, config, device=args.device, dtype=args.dtype
    )
    print(
        f'{platform.machine()}, {torch.get_num_threads()} threads a computation, '
        f'{args.device} {args.dtype}, {args.frames} frames of {args.size}\n'
    )
    with tempfile.TemporaryDirectory() as folder:
        clip = write_clip(Path(folder, 'clip.mp4'), args.frames, *args.size)
        for codec in args.codecs:
            serial, threaded = measure(restorer, clip, codec, args.repeats)
            ratio = median(serial) / median(threaded)
            print(
                f'{codec:<12}one after the other {args.frames / median(serial):7.1f} '
                f'frames/s, in threads {args.frames / median(threaded):7.1f}: '
                f'{ratio:.2f} times',
                flush=True,
            )


if __name__ == '__main__':
    main()
