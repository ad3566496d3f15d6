"""MMagic's inferencer for this project's networks."""

import os
from itertools import count
from pathlib import Path

from mmagic.apis.inferencers import VideoRestorationInferencer
from mmengine import Config
from mmengine.utils import ProgressBar

from ..restoration import ClipRestorer, RestoreOptions, VideoRestorer, WriteOptions
from ..video.formats import NUMBERED


class VSRDBInferencer(VideoRestorationInferencer):
    """MMagic's interface to :class:`~fmanet_mm.restoration.VideoRestorer`.

    Unlike MMagic's inferencer it gives a frame for every frame of clips of any length,
    in constant memory, keeps times, audio and subtitles, reads weights without running
    code, needs no pipeline in the config, and does not share ``extra_parameters``
    between instances. They are:

    - ``filename_tmpl`` (str | None): Names of the images when a folder is written, by
      default ``'{:08d}.png'``. None keeps the names of a folder's images.
    - ``start_idx`` (int): Number of the first image, by default 0.

    Args:
        config (str | Config): Config of the network, or the path to it.
        ckpt (str): Its checkpoint, a local file.
        device (str, optional): By default a GPU if there is one.
        extra_parameters (dict, optional): See above.
        seed (int): Part of MMagic's interface; nothing is random.

    Raises:
        FileNotFoundError: If the config or the checkpoint is missing.
        ValueError: If there is no checkpoint or it does not fit the config, if the
            network restores no video, or an extra parameter is unknown.
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

    def preprocess(self, video: str | os.PathLike | None = None) -> str | os.PathLike:
        """Accept the path of a clip.

        Args:
            video (str | PathLike): A video file or a folder of images.

        Raises:
            ValueError: If none is given.
        """
        if video is None:
            raise ValueError(
                'no video was given; pass video=, a video file or a folder of images'
            )
        return video

    def forward(self, inputs: str | os.PathLike) -> str | os.PathLike:
        """Leave the clip to :meth:`visualize`: frames are restored as it is written."""
        return inputs

    def visualize(
        self, preds: str | os.PathLike, result_out_dir: str | os.PathLike = ''
    ) -> dict:
        """Restore a clip to a video file or a folder.

        Args:
            preds (str | PathLike): The clip.
            result_out_dir (str | PathLike): Video file or folder to write.

        Returns:
            dict: ``path`` (str) of the output, and its ``num_frames`` (int).

        Raises:
            FileNotFoundError: If there is no such clip, or no image in it.
            ValueError: If it cannot be read, or the output not be written; or if it is
                damaged, after the frames before the damage have been written.
        """
        if not result_out_dir:
            raise ValueError(
                'no output was given; pass result_out_dir=, a video file or a folder'
            )
        options = RestoreOptions(write=WriteOptions(filenames=self._filenames()))
        bar = None

        def show_progress(done: int, total: int | None) -> None:
            nonlocal bar
            if bar is None:
                bar = ProgressBar(total or 0)
            else:
                bar.update()

        restored = self.restorer.restore_video(
            preds, result_out_dir, options, show_progress
        )
        return dict(path=str(result_out_dir), num_frames=restored.num_frames)

    def postprocess(self, preds: str | os.PathLike, imgs: dict) -> dict:
        """Return the result of :meth:`visualize`."""
        return imgs

    def _init_model(self, cfg: Config, ckpt: str | None, device: str) -> ClipRestorer:
        self.restorer = VideoRestorer.load(ckpt, cfg, device=device)
        return self.restorer.restorer

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
                f'unknown extra parameters {unknown}; there are '
                f'{sorted(self.extra_parameters)}'
            )
        self.extra_parameters.update(extra_parameters or {})

    def _update_extra_parameters(
        self, extra_parameters: dict | None = None, **kwargs
    ) -> None:
        self._init_extra_parameters(extra_parameters)

    def _filenames(self):
        """Names of images in order; None for those of the source."""
        template = self.extra_parameters['filename_tmpl']
        if template is None:
            return None
        return map(template.format, count(self.extra_parameters['start_idx']))
