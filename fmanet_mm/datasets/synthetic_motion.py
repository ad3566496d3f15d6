"""Windows of synthetic frames with exact flow."""

import os
from collections.abc import Sequence

import numpy as np
from mmagic.registry import DATASETS
from mmengine.dataset import BaseDataset, force_full_init

from ..utils.degradation import average_frames, bicubic_downsample
from ..utils.windows import check_window_lengths
from .photos import find_photos, read_photo
from .random_scene import sample_scene

MIN_LR_SIZE = 16
"""Smallest side of LR frames; smaller ones leave no room for motion."""


@DATASETS.register_module()
class SyntheticMotionDataset(BaseDataset):
    """Endless windows of frames of moving scenes, built from still images.

    A scene is a background with pieces of other photos in front of it, each on its own
    smooth path (shift, rotation, zoom), seen by a moving and shaking camera. A frame
    is blurred as by a shutter, by averaging the light of many sharp sub-frames, and
    downsampled by the bicubic kernel.

    A sample has the entries that pipelines of sets on disk have after loading:

    - ``img``, ``gt`` and ``img_sharp``: lists of T uint8 RGB arrays, blurry LR, sharp
      HR and sharp LR frames, of shapes (H, W, 3), (sH, sW, 3) and (H, W, 3);
    - ``flow``: list of T float32 arrays of shape (H, W, 2), x then y, in LR pixels,
      from the centre frame to each; exact, for the layer that fills most of a pixel;
    - ``key``, ``'<scene>/<centre frame>'``; ``img_path``, names ``'<scene>/<frame>'``
      of the T frames, which are not files; ``<kind>_channel_order``, ``'rgb'``.

    A sample depends only on ``seed`` and its index, in any process. With
    ``opencv_num_threads=0`` in ``mp_cfg`` it is rendered on one core; the workers of
    the loader share the work.

    Args:
        size (tuple[int, int]): (H, W) of the LR frames.
        scale (int): Ratio of HR to LR size, s.
        num_input_frames (int): Frames in a window, T; odd, at least 3.
        num_output_frames (int, optional): 1 to give only the centre frame as ``gt``,
            as an array. By default all T.
        motion (tuple[float, float]): Range of the mean length of the flow from the
            centre frame to its two neighbours, in LR pixels; uniform over scenes.
        exposure (tuple[float, float]): Range of the time the shutter is open, in
            fractions of the frame time.
        num_pieces (tuple[int, int]): Range of the number of pieces in front of the
            background, both ends included.
        folders (Sequence[str | PathLike]): Folders of images to use.
        shipped (bool): Whether to use the photos shipped with scikit-image and
            scikit-learn, too.
        length (int): Number of samples; they are rendered only when loaded.
        seed (int): Seed of all samples.
        **kwargs: ``pipeline``, ``test_mode``, ``indices``, ``lazy_init`` and the other
            arguments of MMEngine's ``BaseDataset``.

    Raises:
        FileNotFoundError: If a folder is missing or holds no images, or the shipped
            photos are missing.
        ValueError: If an argument is out of range, or an image is unreadable or small.
    """

    METAINFO = dict(dataset_type='synthetic_motion', task_name='vsrdb')

    def __init__(
        self,
        size: tuple[int, int] = (72, 72),
        scale: int = 4,
        num_input_frames: int = 3,
        num_output_frames: int | None = None,
        motion: tuple[float, float] = (0.0, 8.0),
        exposure: tuple[float, float] = (0.4, 1.0),
        num_pieces: tuple[int, int] = (1, 4),
        folders: Sequence[str | os.PathLike] = (),
        shipped: bool = True,
        length: int = 1_000_000,
        seed: int = 0,
        **kwargs,
    ) -> None:
        check_window_lengths(num_input_frames, num_output_frames)
        if len(size) != 2 or min(size) < MIN_LR_SIZE:
            raise ValueError(
                f'size must be (H, W), both at least {MIN_LR_SIZE}, got {size}'
            )
        for name, value, least in (('scale', scale, 1), ('length', length, 1)):
            if value < least:
                raise ValueError(f'{name} must be at least {least}, got {value}')
        if seed < 0:
            raise ValueError(f'seed must not be negative, got {seed}')
        _check_range('motion', motion)
        _check_range('exposure', exposure, most=1)
        _check_range('num_pieces', num_pieces)
        self.size = tuple(size)
        self.scale = scale
        self.num_input_frames = num_input_frames
        self.num_output_frames = num_output_frames
        self.motion = motion
        self.exposure = exposure
        self.num_pieces = num_pieces
        self.length = length
        self.seed = seed
        self.photos = find_photos(folders, shipped)
        super().__init__(serialize_data=False, **kwargs)

    def load_data_list(self) -> range:
        """Number the scenes; nothing is loaded."""
        return range(self.length)

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Render a sample.

        Args:
            idx (int): Its index.

        Returns:
            dict: See :class:`SyntheticMotionDataset`; also ``sample_idx``.

        Raises:
            IndexError: If the index is out of range.
            ValueError: If a photo turns out to be damaged.
        """
        number = self.data_list[idx]
        rng = np.random.default_rng((self.seed, number))
        scene = sample_scene(
            rng,
            self._sample_photo,
            size=self.size,
            scale=self.scale,
            num_pieces=rng.integers(*self.num_pieces, endpoint=True),
            speed=rng.uniform(*self.motion),
        )
        exposure = rng.uniform(*self.exposure)

        reach = self.num_input_frames // 2
        sharp, blurry, flow = [], [], []
        for time in range(-reach, reach + 1):
            sub_frames = list(scene.sub_frames(time, exposure))
            sharp.append(sub_frames[len(sub_frames) // 2])
            blurry.append(average_frames(sub_frames, linear_light=True))
            flow.append(scene.flow(time))
        return dict(
            key=f'{number:08d}/{reach:08d}',
            img_path=[
                f'{number:08d}/{frame:08d}' for frame in range(self.num_input_frames)
            ],
            img=[bicubic_downsample(frame, self.scale) for frame in blurry],
            gt=sharp[reach] if self.num_output_frames == 1 else sharp,
            img_sharp=[bicubic_downsample(frame, self.scale) for frame in sharp],
            flow=flow,
            img_channel_order='rgb',
            gt_channel_order='rgb',
            img_sharp_channel_order='rgb',
            sample_idx=idx % len(self.data_list),
        )

    def _sample_photo(self, rng: np.random.Generator) -> np.ndarray:
        return read_photo(self.photos[rng.integers(len(self.photos))])


def _check_range(name: str, value: tuple[float, float], most: float = np.inf) -> None:
    if len(value) != 2 or not 0 <= value[0] <= value[1] <= most:
        below = '' if np.isinf(most) else f' <= {most}'
        raise ValueError(
            f'{name} must be a range (low, high) with 0 <= low <= high{below}, got '
            f'{value}'
        )
