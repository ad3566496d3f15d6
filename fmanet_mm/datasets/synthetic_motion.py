"""Synthetic windows and clips with exact flow."""

import os
from collections.abc import Sequence
from math import inf

import numpy as np
from mmagic.registry import DATASETS
from mmengine.dataset import BaseDataset, force_full_init

from ..utils.degradation import average_frames, bicubic_downsample
from ..utils.exposure import EXPOSURE_LEVELS, GT_TIME, check_levels, walk_levels
from ..utils.windows import check_window_lengths
from .photos import find_photos, read_photo
from .random_scene import sample_scene
from .scene import Scene

MIN_LR_SIZE = 16
"""Smallest side of LR frames; smaller ones leave no room for motion."""

SWING = 5
"""See :class:`~fmanet_mm.datasets.scene.Trajectory`; to and fro takes 31 frames."""


class SyntheticScenes(BaseDataset):
    """Endless moving scenes, built from still images.

    A scene is a background with pieces of other photos in front of it, each on its own
    smooth path (shift, rotation, zoom), seen by a moving and shaking camera. A frame
    is blurred as by a shutter, by averaging the light of many sharp sub-frames, and
    downsampled by the bicubic kernel.

    A sample depends only on ``seed`` and its index, in any process. With
    ``opencv_num_threads=0`` in ``mp_cfg`` it is rendered on one core; the workers of
    the loader share the work.

    Args:
        size (tuple[int, int]): (H, W) of the LR frames.
        scale (int): Ratio of HR to LR size, s.
        motion (tuple[float, float]): Range of the mean length of the flow from the
            middle of the sample to one frame before and after, in LR pixels; uniform
            over scenes.
        num_pieces (tuple[int, int]): Range of the number of pieces in front of the
            background, both ends included.
        folders (Sequence[str | PathLike]): Folders of images to use.
        shipped (bool): Whether to use the photos shipped with scikit-image and
            scikit-learn, too.
        length (int): Number of samples; they are rendered only when loaded.
        seed (int): Seed of all samples.
        keep_rendered (bool): Keep samples in memory, in each process that renders them.
            Only for a small ``length``, of which all are seen many times.
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
        motion: tuple[float, float] = (0.0, 8.0),
        num_pieces: tuple[int, int] = (1, 4),
        folders: Sequence[str | os.PathLike] = (),
        shipped: bool = True,
        length: int = 1_000_000,
        seed: int = 0,
        keep_rendered: bool = False,
        **kwargs,
    ) -> None:
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
        _check_range('num_pieces', num_pieces)
        self.size = tuple(size)
        self.scale = scale
        self.motion = motion
        self.num_pieces = num_pieces
        self.length = length
        self.seed = seed
        self.photos = find_photos(folders, shipped)
        self._rendered: dict[int, dict] | None = {} if keep_rendered else None
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
            dict: See the class; also ``sample_idx`` and ``<kind>_channel_order``.

        Raises:
            IndexError: If the index is out of range.
            ValueError: If a photo turns out to be damaged.
        """
        number = self.data_list[idx]
        return dict(
            self._render(number),
            img_channel_order='rgb',
            gt_channel_order='rgb',
            img_sharp_channel_order='rgb',
            sample_idx=idx % len(self.data_list),
        )

    def _render(self, number: int) -> dict:
        if self._rendered is not None and number in self._rendered:
            return self._rendered[number]
        sample = self.render(number, np.random.default_rng((self.seed, number)))
        if self._rendered is not None:
            self._rendered[number] = sample
        return sample

    def list_frames(self, idx: int) -> dict:
        """Name the frames of a sample without rendering it.

        Args:
            idx (int): Its index.

        Returns:
            dict: ``key`` and ``img_path`` of the sample.
        """
        return self.names(self.data_list[idx])

    def names(self, number: int) -> dict:
        """``key`` and ``img_path`` of the sample of a number."""
        raise NotImplementedError

    def render(self, number: int, rng: np.random.Generator) -> dict:
        """Render the sample of a number with its own source of randomness."""
        raise NotImplementedError

    def sample_scene(self, rng: np.random.Generator, swing: float = inf) -> Scene:
        """Sample a scene; see :func:`sample_scene`."""
        return sample_scene(
            rng,
            self._sample_photo,
            size=self.size,
            scale=self.scale,
            num_pieces=rng.integers(*self.num_pieces, endpoint=True),
            speed=rng.uniform(*self.motion),
            swing=swing,
        )

    def downsample(self, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Downsample HR frames to LR frames."""
        return [bicubic_downsample(frame, self.scale) for frame in frames]

    def _sample_photo(self, rng: np.random.Generator) -> np.ndarray:
        return read_photo(self.photos[rng.integers(len(self.photos))])


@DATASETS.register_module()
class SyntheticMotionDataset(SyntheticScenes):
    """Endless windows of frames of moving scenes, see :class:`SyntheticScenes`.

    A sample has the entries that pipelines of sets on disk have after loading:

    - ``img``, ``gt`` and ``img_sharp``: lists of T uint8 RGB arrays, blurry LR, sharp
      HR and sharp LR frames, of shapes (H, W, 3), (sH, sW, 3) and (H, W, 3);
    - ``flow``: list of T float32 arrays of shape (H, W, 2), x then y, in LR pixels,
      from the centre frame to each; exact, for the layer that fills most of a pixel;
    - ``key``, ``'<scene>/<centre frame>'``; ``img_path``, names ``'<scene>/<frame>'``
      of the T frames, which are not files; ``<kind>_channel_order``, ``'rgb'``.

    Args:
        num_input_frames (int): Frames in a window, T; odd, at least 3.
        num_output_frames (int, optional): 1 to give only the centre frame as ``gt``,
            as an array. By default all T.
        exposure (tuple[float, float]): Range of the time the shutter is open, in
            fractions of the frame time.
        **scenes: Arguments of :class:`SyntheticScenes`.

    Raises:
        FileNotFoundError: See :class:`SyntheticScenes`.
        ValueError: If an argument is out of range, or an image is unreadable or small.
    """

    def __init__(
        self,
        num_input_frames: int = 3,
        num_output_frames: int | None = None,
        exposure: tuple[float, float] = (0.4, 1.0),
        **scenes,
    ) -> None:
        check_window_lengths(num_input_frames, num_output_frames)
        _check_range('exposure', exposure, most=1)
        self.num_input_frames = num_input_frames
        self.num_output_frames = num_output_frames
        self.exposure = exposure
        super().__init__(**scenes)

    def names(self, number: int) -> dict:
        """Name the frames of a window; see :meth:`SyntheticScenes.names`."""
        return dict(
            key=f'{number:08d}/{self.num_input_frames // 2:08d}',
            img_path=_frame_names(number, self.num_input_frames),
        )

    def render(self, number: int, rng: np.random.Generator) -> dict:
        """Render a window; see :meth:`SyntheticScenes.render`."""
        scene = self.sample_scene(rng)
        exposure = rng.uniform(*self.exposure)

        reach = self.num_input_frames // 2
        sharp, blurry, flow = [], [], []
        for time in range(-reach, reach + 1):
            sub_frames = list(scene.sub_frames(time, exposure))
            sharp.append(sub_frames[len(sub_frames) // 2])
            blurry.append(average_frames(sub_frames, linear_light=True))
            flow.append(scene.flow(time))
        return dict(
            self.names(number),
            img=self.downsample(blurry),
            gt=sharp[reach] if self.num_output_frames == 1 else sharp,
            img_sharp=self.downsample(sharp),
            flow=flow,
        )


@DATASETS.register_module()
class SyntheticClipDataset(SyntheticScenes):
    """Endless clips with an exposure for each frame, see :class:`SyntheticScenes`.

    The exposure of frame i begins at the time of the frame, lasts N/5 of the frame time
    at level N, and may change within a clip. The sharp frame is that of one instant of
    the frame time, at any level. Motion reverses after some frames, so that clips may
    be long.

    A sample has the entries that pipelines of :class:`REDSMEDataset` have after
    loading:

    - ``img``, ``gt`` and ``img_sharp``: lists of T uint8 RGB arrays, blurry LR, sharp
      HR and sharp LR frames, of shapes (H, W, 3), (sH, sW, 3) and (H, W, 3);
    - ``flow``: list of 2T float32 arrays of shape (H, W, 2), x then y, in LR pixels:
      from each sharp frame to the previous, then to the next one; exact, for the layer
      that fills most of a pixel; zero where there is no such frame in the clip;
    - ``exposure``: list of T levels N, 1 to 5;
    - ``key``, ``'<scene>/<first frame>-<last frame>'``; ``img_path``, names
      ``'<scene>/<frame>'`` of the T frames, which are not files;
      ``<kind>_channel_order``, ``'rgb'``.

    Args:
        clip_length (int): Frames in a clip, T.
        levels (Sequence[int]): Levels of exposure that clips have.
        walking (bool): Let the exposure of a clip change at random among all levels,
            see :func:`~fmanet_mm.utils.exposure.walk_levels`. By default it is constant
            in a clip.
        gt_time (float): Instant of the sharp frame, in fractions of the frame time,
            from 0, where exposures begin, to 1. The default is that of REDS, the
            middle of an exposure at level 4.
        **scenes: Arguments of :class:`SyntheticScenes`.

    Raises:
        FileNotFoundError: See :class:`SyntheticScenes`.
        ValueError: If an argument is out of range, or an image is unreadable or small.
    """

    METAINFO = dict(dataset_type='synthetic_clips', task_name='vsrdb')

    def __init__(
        self,
        clip_length: int = 10,
        levels: Sequence[int] = tuple(range(1, EXPOSURE_LEVELS + 1)),
        walking: bool = False,
        gt_time: float = GT_TIME,
        **scenes,
    ) -> None:
        if clip_length < 1:
            raise ValueError(f'clip_length must be at least 1, got {clip_length}')
        if not 0 <= gt_time <= 1:
            raise ValueError(f'gt_time must be in [0, 1], got {gt_time}')
        check_levels(levels)
        self.clip_length = clip_length
        self.levels = tuple(levels)
        self.walking = walking
        self.gt_time = gt_time
        super().__init__(**scenes)

    def names(self, number: int) -> dict:
        """Name the frames of a clip; see :meth:`SyntheticScenes.names`."""
        return dict(
            key=f'{number:08d}/{0:08d}-{self.clip_length - 1:08d}',
            img_path=_frame_names(number, self.clip_length),
        )

    def render(self, number: int, rng: np.random.Generator) -> dict:
        """Render a clip; see :meth:`SyntheticScenes.render`."""
        scene = self.sample_scene(rng, SWING)
        levels = self._sample_levels(rng)
        last = self.clip_length - 1
        sharp, blurry, flow = [], [], []
        for frame, level in enumerate(levels):
            time = frame - last / 2
            exposure = level / EXPOSURE_LEVELS
            middle = time - self.gt_time + exposure / 2
            sharp.append(scene.render(time))
            blurry.append(
                average_frames(scene.sub_frames(middle, exposure), linear_light=True)
            )
            flow += scene.neighbour_flow(time)
        # Neighbours beyond the ends are not part of the clip.
        flow[0], flow[-1] = np.zeros_like(flow[0]), np.zeros_like(flow[-1])
        return dict(
            self.names(number),
            img=self.downsample(blurry),
            gt=sharp,
            img_sharp=self.downsample(sharp),
            flow=flow,
            exposure=levels,
        )

    def _sample_levels(self, rng: np.random.Generator) -> list[int]:
        if self.walking:
            return walk_levels(int(rng.integers(2**32)), self.clip_length)
        return [self.levels[rng.integers(len(self.levels))]] * self.clip_length


def _frame_names(number: int, count: int) -> list[str]:
    return [f'{number:08d}/{frame:08d}' for frame in range(count)]


def _check_range(name: str, value: tuple[float, float], most: float = np.inf) -> None:
    if len(value) != 2 or not 0 <= value[0] <= value[1] <= most:
        below = '' if np.isinf(most) else f' <= {most}'
        raise ValueError(
            f'{name} must be a range (low, high) with 0 <= low <= high{below}, got '
            f'{value}'
        )
