"""The page on which a restored video is compared with its input."""

from collections import deque
from collections.abc import Iterable, Iterator
from os import PathLike

import numpy as np
import torch

from ..restoration.images import to_tensor
from ..restoration.video_restorer import SoundFrames, VideoRestorer
from ..models import FMANet
from ..models.common.layers import per_frame
from ..ops import strips
from ..utils.windows import sliding_windows
from ..video import FrameReader, TimedFrame, split_shots
from ..visualization import ComparePage, most_moving_pixel

STRIP_ROWS = 64
"""Low enough for NetD alone to take less memory than the restoration took."""


def write_comparison(
    path: str | PathLike,
    restorer: VideoRestorer,
    source: FrameReader,
    restored: FrameReader,
    truth: FrameReader | None = None,
    detect_scenes: bool = True,
) -> None:
    """Compare a restored video with its input, and show what NetD learned of it.

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
    page = ComparePage(f'{source.path.name} restored')
    learns = isinstance(restorer.model, FMANet)
    frames = SoundFrames(source)
    shots = split_shots(frames) if detect_scenes else [frames]
    outputs = iter(restored)
    targets = None if truth is None else iter(truth)
    for window in _windows(shots, restorer.model.num_frames):
        output = _next(outputs, restored, source)
        target = None if truth is None else _next(targets, truth, source)
        flow = kernels = None
        if learns and page.wants_next:
            flow, kernels = learned_degradation(restorer.model, window)
        centre = window[len(window) // 2]
        page.add(centre, output, target, flow=flow, kernels=kernels)
    page.write(path)


def _next(images: Iterator[np.ndarray], clip: FrameReader, source: FrameReader):
    image = next(images, None)
    if image is None:
        raise ValueError(
            f'{clip.path} has fewer frames than {source.path}; they cannot be compared'
        )
    return image


def _windows(
    shots: Iterable[Iterable[TimedFrame]], num_frames: int
) -> Iterator[deque[np.ndarray]]:
    for shot in shots:
        yield from sliding_windows((frame.image for frame in shot), num_frames)


@torch.inference_mode()
def learned_degradation(
    model: FMANet, window: Iterable[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """What NetD learned of a window.

    Args:
        model (FMANet): A model of stage 2, in evaluation mode.
        window (Iterable[np.ndarray]): T frames, (H, W, 3), uint8 or uint16, RGB.

    Returns:
        tuple[np.ndarray]: Flow from the centre frame to each, (T, H, W, 2), LR pixels,
        and the degradation kernels of the pixel that moves most, (T, k, k), which sum
        up to 1.
    """
    net_d = model.net_d
    device = next(model.parameters()).device
    frames = torch.stack([to_tensor(image, device) for image in window]).unsqueeze(0)
    with strips(STRIP_ROWS):
        degradation = net_d(frames)
        flow = net_d.image_flow_mask(degradation.flow_masks)[0, :, :2]
    y, x = most_moving_pixel(flow)
    # The kernel head sees two pixels far; of a whole frame, kernels are large.
    top, left = max(y - 2, 0), max(x - 2, 0)
    around = degradation.kernel_feature[..., top : y + 3, left : x + 3]
    kernels = per_frame(degradation.kernel_head, around)[0, ..., y - top, x - left]
    taps = kernels.flatten().softmax(0)
    size = round(kernels.size(1) ** 0.5)
    return (
        flow.permute(0, 2, 3, 1).cpu().numpy(),
        taps.view(-1, size, size).cpu().numpy(),
    )
