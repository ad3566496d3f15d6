"""MMagic's inferencer for FMA-Net."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmagic.apis.inferencers import VideoRestorationInferencer
from mmagic.registry import MODELS
from mmengine import Config
from mmengine.utils import ProgressBar

from ..models import FMANet
from ..utils.checkpoint import load_state_dict_file
from ..video import FrameReader, ImageFolderReader, open_frames, open_writer
from .inference import restore_frames, to_image
from .streaming import StreamingRestorer

NUMBERED = '{:08d}.png'


class SoundFrames:
    """Gives the frames up to the first that cannot be read, whose error it keeps.

    So what comes before the damage is restored and not lost.

    Args:
        source (FrameReader): The clip.

    Attributes:
        source (FrameReader): The clip.
        error (ValueError | None): Why it ended early, if it did.
    """

    def __init__(self, source: FrameReader) -> None:
        self.source = source
        self.error = None

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            yield from self.source
        except ValueError as error:
            self.error = error


class RestoredClip(NamedTuple):
    """A clip whose frames are restored as they are taken.

    Attributes:
        inputs (SoundFrames): The blurry clip.
        frames (Iterator[np.ndarray]): Restored frames, (sH, sW, 3), uint8, RGB.
    """

    inputs: SoundFrames
    frames: Iterator[np.ndarray]


class FMANetInferencer(VideoRestorationInferencer):
    """Restores videos with FMA-Net, frame by frame, in constant memory.

    Unlike MMagic's inferencer it gives a frame for every frame of clips of any length,
    keeps the frame rate, reads weights without running code, needs no pipeline in the
    config, and does not share ``extra_parameters`` between instances. They are:

    - ``filename_tmpl`` (str | None): Names of the images when a folder is written, by
      default ``'{:08d}.png'``. None keeps the names of a folder's images.
    - ``start_idx`` (int): Number of the first image, by default 0.

    Args:
        config (str | Config): Config of a stage-2 model, or the path to it.
        ckpt (str): Its checkpoint, a local file.
        device (str, optional): By default a GPU if there is one.
        extra_parameters (dict, optional): See above.
        seed (int): Kept for MMagic's interface; nothing is random.

    Raises:
        FileNotFoundError: If the config or the checkpoint is missing.
        ValueError: If there is no checkpoint or it does not fit the config, if the
            model is of stage 1, or an extra parameter is unknown.
    """

    extra_parameters = dict(start_idx=0, filename_tmpl=NUMBERED)

    def __init__(
        self,
        config: str | os.PathLike | Config,
        ckpt: str | None,
        device: str | None = None,
        extra_parameters: dict | None = None,
        seed: int = 2022,
    ) -> None:
        self.extra_parameters = dict(self.extra_parameters)
        if isinstance(config, str | os.PathLike):
            if not Path(config).is_file():
                raise FileNotFoundError(f'there is no config {config}; check the path')
            config = Config.fromfile(config)
        super().__init__(config, ckpt, device, extra_parameters, seed)

    def preprocess(self, video: str | os.PathLike | None = None) -> FrameReader:
        """Open a clip.

        Args:
            video (str | PathLike): A video file or a folder of images.

        Raises:
            FileNotFoundError: If there is no such file or folder, or no image in it.
            ValueError: If none is given, or it cannot be read.
        """
        if video is None:
            raise ValueError(
                'no video was given; pass video=, a video file or a folder of images'
            )
        return open_frames(video)

    def forward(self, inputs: FrameReader) -> RestoredClip:
        """Restore a clip, when its frames are taken."""
        inputs = SoundFrames(inputs)
        return RestoredClip(inputs, map(to_image, restore_frames(self.model, inputs)))

    def visualize(
        self, preds: RestoredClip, result_out_dir: str | os.PathLike = ''
    ) -> dict:
        """Write a restored clip.

        Args:
            preds (RestoredClip): From :meth:`forward`.
            result_out_dir (str | PathLike): Video file or folder to write. A video
                gets the frame rate of the source.

        Returns:
            dict: ``path`` (str), what was written, and ``num_frames`` (int).

        Raises:
            ValueError: If nothing can be written there; or if the source is damaged,
                after the frames before the damage have been written.
        """
        inputs = preds.inputs
        with inputs.source as source:
            self._check_output(source, result_out_dir)
            progress = ProgressBar(source.num_frames or 0)
            with open_writer(
                result_out_dir, source.fps, self._filenames(source)
            ) as writer:
                for frame in preds.frames:
                    writer.write(frame)
                    progress.update()
        if inputs.error is not None:
            raise ValueError(
                f'{inputs.error}. What comes before, {writer.num_frames} frames, was '
                f'restored to {result_out_dir}'
            ) from inputs.error
        return dict(path=str(result_out_dir), num_frames=writer.num_frames)

    def postprocess(self, preds: RestoredClip, imgs: dict) -> dict:
        """Return what :meth:`visualize` says."""
        return imgs

    def _init_model(self, cfg: Config, ckpt: str | None, device: str) -> FMANet:
        if not ckpt:
            raise ValueError(
                'no checkpoint was given, and random weights restore nothing; pass '
                'model_ckpt=, a checkpoint of stage 2'
            )
        model = MODELS.build(cfg.model)
        StreamingRestorer(model)  # refuses models that cannot restore
        weights = load_state_dict_file(ckpt)
        try:
            model.load_state_dict(weights)
        except ValueError as error:
            raise ValueError(f'{ckpt}: {error}') from error
        model.cfg = cfg
        return model.to(device).eval()

    def _init_pipeline(self, cfg: Config) -> None:
        """Frames come from :meth:`preprocess`, not from a dataset's pipeline."""

    def _init_collate(self, cfg: Config) -> None:
        """There are no batches."""

    def _init_visualizer(self, cfg: Config) -> None:
        """Frames go to a writer, not to the visualizer of training."""

    def _init_extra_parameters(self, extra_parameters: dict | None) -> None:
        unknown = sorted(set(extra_parameters or ()) - set(self.extra_parameters))
        if unknown:
            raise ValueError(
                f'unknown extra parameters {unknown}; FMA-Net has '
                f'{sorted(self.extra_parameters)}'
            )
        self.extra_parameters.update(extra_parameters or {})

    def _update_extra_parameters(
        self, extra_parameters: dict | None = None, **kwargs
    ) -> None:
        self._init_extra_parameters(extra_parameters)

    @staticmethod
    def _check_output(source: FrameReader, result_out_dir: str | os.PathLike) -> None:
        if not result_out_dir:
            raise ValueError(
                'no output was given; pass result_out_dir=, a video file or a folder'
            )
        if Path(result_out_dir).resolve() == source.path.resolve():
            raise ValueError(
                f'{result_out_dir} is the input; choose another name for the output'
            )

    def _filenames(self, source: FrameReader) -> Iterator[str] | list[str]:
        """Names of images to write."""
        template = self.extra_parameters['filename_tmpl']
        if template is None and isinstance(source, ImageFolderReader):
            return [f'{stem}.png' for stem in source.stems]
        return map(
            (template or NUMBERED).format, count(self.extra_parameters['start_idx'])
        )
