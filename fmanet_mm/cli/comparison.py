"""The page on which a restored video is compared with its input."""

from collections import deque
from collections.abc import Iterable, Iterator
from os import PathLike

import numpy as np
import torch

from ..restoration import VideoRestorer
from ..restoration.images import to_tensor
from ..restoration.protocol import LearnsDegradation
from ..restoration.video_restorer import IntactFrames
from ..utils.windows import sliding_windows
from ..video.frames import TimedFrame
from ..video.reader import FrameReader
from ..visualization.compare_page import ComparePage


def write_comparison(
    path: str | PathLike,
    restorer: VideoRestorer,
    source: FrameReader,
    restored: FrameReader,
    truth: FrameReader | None = None,
    detect_scenes: bool = True,
) -> None:
    """Compare a restored video with its input, and show what the network learned.

    Args:
        path (str | PathLike): HTML file to write.
        restorer (VideoRestorer): What restored it.
        source (FrameReader): The input, which may be damaged where the output ends.
        restored (FrameReader): The output.
        truth (FrameReader, optional): The same video, sharp and of the output's size.
        detect_scenes (bool): Whether it was restored shot by shot.

    Raises:
        ValueError: If the frames do not fit each other in size or number.
    """
    page = ComparePage(f'{source.info.path.name} restored')
    network = getattr(restorer.restorer, 'network', None)
    learned = network if isinstance(network, LearnsDegradation) else None
    shots = IntactFrames(source).shots(detect_scenes)
    outputs = iter(restored)
    targets = None if truth is None else iter(truth)
    for window in _windows(shots, learned.num_frames if learned else 1):
        output = _next(outputs, restored, source)
        target = None if truth is None else _next(targets, truth, source)
        flow = kernels = None
        if learned and page.wants_next:
            flow, kernels = estimate_degradation(
                learned, window, restorer.restorer.device
            )
        centre = window[len(window) // 2]
        page.add(centre, output, target, flow=flow, kernels=kernels)
    page.write(path)


def estimate_degradation(
    network: LearnsDegradation, window: Iterable[np.ndarray], device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Motion and blur that a network estimates for a window.

    Args:
        network (LearnsDegradation): In evaluation mode.
        window (Iterable[np.ndarray]): T frames, (H, W, 3), uint8 or uint16, RGB.
        device (torch.device): The network's.

    Returns:
        tuple[np.ndarray]: Flow from the centre frame to each, (T, H, W, 2), LR pixels,
        and the degradation kernels of the pixel that moves most, (T, k, k), which sum
        to 1.
    """
    frames = torch.stack([to_tensor(image, device) for image in window])
    learned = network.estimate_degradation(frames)
    return (
        learned.flow.permute(0, 2, 3, 1).cpu().numpy(),
        learned.kernels.cpu().numpy(),
    )


def _next(images: Iterator[np.ndarray], clip: FrameReader, source: FrameReader):
    image = next(images, None)
    if image is None:
        raise ValueError(
            f'{clip.info.path} has fewer frames than {source.info.path}; they cannot '
            'be compared'
        )
    return image


def _windows(
    shots: Iterable[Iterable[TimedFrame]], num_frames: int
) -> Iterator[deque[np.ndarray]]:
    for shot in shots:
        yield from sliding_windows((frame.image for frame in shot), num_frames)
