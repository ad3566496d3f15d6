"""Windows of frames for joint video super-resolution and deblurring (VSRDB)."""

import os

from mmagic.datasets import BasicFramesDataset

from ..flow import flow_filename
from ..utils.annotation import read_annotation
from ..utils.clips import drop_clutter
from ..utils.windows import check_window_lengths

IMAGE_KINDS = ('img', 'gt', 'img_sharp')
KINDS = (*IMAGE_KINDS, 'flow')
BORDERS = ('exclude', 'replicate')


class VSRDBDataset(BasicFramesDataset):
    """One sample for every window of T consecutive frames of every clip.

    Each kind of data is in a folder with a folder of PNG frames for every clip, given
    by its entry in ``data_prefix``:

    - ``img``: blurry LR frames;
    - ``gt``: sharp HR frames, optional;
    - ``img_sharp``: sharp LR frames, optional;
    - ``flow``: flow files as ``tools/generate_flow.py`` makes them, optional.

    Where the frames are in a folder inside that of the clip, ``{clip}`` is a
    placeholder for the clip's name, ``'test/{clip}/sharp'``. Hidden files and files of
    the operating system are ignored.

    All kinds of a clip are listed when the dataset is initialised, so that a gap is
    found before training starts. A sample is a dict of ``key``, ``'<clip>/<centre
    frame>'``, and for every kind ``<kind>_path``, a list of T paths in order of time.
    For flow these are files from the centre frame to the others, None for the centre
    frame itself.

    Subclasses set ``FRAME_DIGITS``, the number of digits that name a frame.

    Args:
        data_prefix (dict): Folders by kind, below ``data_root``; at least ``img``.
        data_root (str): Root of the set.
        ann_file (str): File below ``data_root`` with a line ``<clip> <number of
            frames>``, or just ``<clip>``, for each clip to use. By default all clips
            that have a folder.
        num_input_frames (int): Frames in a window, T; odd, at least 3.
        num_output_frames (int, optional): 1 to give only the path of the centre frame
            of ``gt``, as a str. By default all T.
        border (str): ``'exclude'`` drops the windows that reach beyond the ends of
            their clip, as published; ``'replicate'`` fills them by repeating the end
            frames.
        **kwargs: ``pipeline``, ``test_mode``, ``indices``, ``lazy_init`` and the other
            arguments of MMEngine's ``BaseDataset``.

    Raises:
        FileNotFoundError: If a folder, a frame, a flow file or the annotation file is
            missing.
        ValueError: If an argument is out of range, the annotation is malformed or
            contradicts the folders, a frame is misnamed, a link points outside the
            folder of the clips, or a clip is too short.
    """

    METAINFO = dict(dataset_type='vsrdb', task_name='vsrdb')
    FRAME_DIGITS: int

    def __init__(
        self,
        data_prefix: dict,
        data_root: str = '',
        ann_file: str = '',
        num_input_frames: int = 3,
        num_output_frames: int | None = None,
        border: str = 'exclude',
        **kwargs,
    ) -> None:
        check_window_lengths(num_input_frames, num_output_frames)
        if border not in BORDERS:
            raise ValueError(f'border must be one of {BORDERS}, got {border!r}')
        if 'img' not in data_prefix or not set(data_prefix) <= set(KINDS):
            raise ValueError(
                f"data_prefix must have 'img' and may have {KINDS[1:]}, got "
                f'{tuple(data_prefix)}'
            )
        self.border = border
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            data_prefix=data_prefix,
            num_input_frames=num_input_frames,
            num_output_frames=num_output_frames,
            filename_tmpl={},  # MMagic's default is a dict shared by all datasets.
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """List the samples of all clips; see :class:`VSRDBDataset`."""
        clips = self.select_clips(self.find_clips())
        if not clips:
            raise FileNotFoundError(
                f'there are no clips in {self.ann_file or self._root("img")}'
            )
        return [
            sample
            for clip, length in clips.items()
            for sample in self._load_clip(clip, length)
        ]

    def select_clips(self, clips: dict[str, int | None]) -> dict[str, int | None]:
        """Select among the clips found; here all.

        Args:
            clips (dict[str, int | None]): Number of frames by name, None where not
                given.

        Returns:
            dict[str, int | None]: The clips to use.
        """
        return clips

    def find_clips(self) -> dict[str, int | None]:
        """Find the clips in the annotation file, or else in the folders.

        Returns:
            dict[str, int | None]: Number of frames by name, None where not given.

        Raises:
            FileNotFoundError: If a folder of clips or the annotation file is missing.
            ValueError: If the annotation is malformed.
        """
        roots = [root for kind in self.image_kinds() for root in self.clip_roots(kind)]
        for kind in self.image_kinds():
            for root in self.clip_roots(kind):
                if not self.file_backend.isdir(root):
                    raise FileNotFoundError(
                        f'there is no data folder {root} (data_prefix[{kind!r}])'
                    )
        if self.ann_file:
            return read_annotation(self.ann_file)
        names = {
            name
            for root in roots
            for name in drop_clutter(
                self.file_backend.list_dir_or_file(root, list_file=False)
            )
        }
        return dict.fromkeys(sorted(names))

    def _load_clip(self, clip: str, length: int | None) -> list[dict]:
        frames = self._find_frames(clip)
        if length is not None and len(frames) != length:
            raise ValueError(
                f'clip {clip} has {len(frames)} frames in '
                f'{self.clip_folder("img", clip)}, but {self.ann_file} says {length}'
            )
        windows = self.windows(len(frames))
        if not windows:
            raise ValueError(
                f'clip {clip} in {self.clip_folder("img", clip)} has {len(frames)} '
                f'frames, {self.describe_short_clip()}'
            )
        paths = {
            kind: [self.frame_path(kind, clip, frame) for frame in frames]
            for kind in self.image_kinds()
        }
        samples = []
        for window in windows:
            stems = [frames[index] for index in window]
            sample = dict(key=self.sample_key(clip, stems))
            for kind in paths:
                sample[f'{kind}_path'] = [paths[kind][index] for index in window]
            if self.num_output_frames == 1 and 'gt' in paths:
                sample['gt_path'] = paths['gt'][window[len(window) // 2]]
            if 'flow' in self.data_prefix:
                sample['flow_path'] = self.flow_paths(clip, stems)
            samples.append(sample)
        if 'flow' in self.data_prefix:
            self._check_flow(clip, samples)
        return samples

    def sample_key(self, clip: str, stems: list[str]) -> str:
        """Key of the sample of these frames."""
        return f'{clip}/{stems[len(stems) // 2]}'

    def describe_short_clip(self) -> str:
        """Say what a clip without any sample lacks, and what to do."""
        return (
            f'fewer than the {self.num_input_frames} of a window; remove it from the '
            "annotation file, or pad with border='replicate'"
        )

    def windows(self, length: int) -> list[list[int]]:
        """Frame indices of the windows of a clip of ``length`` frames, by centre."""
        reach = self.num_input_frames // 2
        skipped = reach if self.border == 'exclude' else 0
        return [
            [
                min(max(index, 0), length - 1)
                for index in range(centre - reach, centre + reach + 1)
            ]
            for centre in range(skipped, length - skipped)
        ]

    def _find_frames(self, clip: str) -> list[str]:
        """Stems of the frames of a clip, which must be the same in all kinds."""
        found = {kind: self._list_frames(kind, clip) for kind in self.image_kinds()}
        union = set().union(*found.values())
        first, last = int(min(union)), int(max(union))
        for kind, stems in found.items():
            for number in range(first, last + 1):
                stem = f'{number:0{self.FRAME_DIGITS}d}'
                if stem not in stems:
                    raise FileNotFoundError(
                        f'frame {self.frame_path(kind, clip, stem)} is missing; '
                        f'expected {min(union)}.png to {max(union)}.png'
                    )
        return sorted(union)

    def _list_frames(self, kind: str, clip: str) -> set[str]:
        names = self.frame_names(kind, clip)
        return {self.frame_stem(kind, clip, name) for name in names}

    def frame_names(self, kind: str, clip: str) -> list[str]:
        """List the PNG files of a clip.

        Args:
            kind (str): ``'img'``, ``'gt'`` or ``'img_sharp'``.
            clip (str): Name of the clip.

        Returns:
            list[str]: File names, unordered; at least one.

        Raises:
            FileNotFoundError: If there is no folder, or it has no frames.
            ValueError: If the folder is a link that points outside that of the clips.
        """
        folder = self.clip_folder(kind, clip)
        self._check_inside(kind, folder)
        if not self.file_backend.isdir(folder):
            raise FileNotFoundError(
                f'clip {clip} has no folder {folder} (data_prefix[{kind!r}])'
            )
        names = drop_clutter(
            self.file_backend.list_dir_or_file(folder, list_dir=False, suffix='.png')
        )
        if not names:
            raise FileNotFoundError(f'there are no PNG frames in {folder}')
        return names

    def frame_stem(self, kind: str, clip: str, name: str) -> str:
        """Stem of a frame's file name, which is its number.

        Raises:
            ValueError: If the frame is misnamed, or a link that points outside the
                folder of the clips.
        """
        path = os.path.join(self.clip_folder(kind, clip), name)
        stem = name.removesuffix('.png')
        if not stem.isdecimal() or len(stem) != self.FRAME_DIGITS:
            raise ValueError(
                f'frame {path} must be named by a number of {self.FRAME_DIGITS} digits '
                f'for {type(self).__name__}'
            )
        self._check_inside(kind, path)
        return stem

    def _check_inside(self, kind: str, path: str) -> None:
        """Raise if a path is a link that points outside the folder of the clips."""
        if not os.path.islink(path):
            return
        root, target = os.path.realpath(self._root(kind)), os.path.realpath(path)
        if os.path.commonpath((root, target)) != root:
            raise ValueError(
                f'{path} is a link to {target}, outside {root}; move the files there, '
                'or set data_root or data_prefix to where they are'
            )

    def _check_flow(self, clip: str, samples: list[dict]) -> None:
        folder = self.clip_folder('flow', clip)
        present = set()
        if self.file_backend.isdir(folder):
            names = drop_clutter(
                self.file_backend.list_dir_or_file(
                    folder, list_dir=False, suffix='.npy'
                )
            )
            present = {os.path.join(folder, name) for name in names}
            for path in (folder, *present):
                self._check_inside('flow', path)
        needed = {path for sample in samples for path in sample['flow_path'] if path}
        missing = sorted(needed - present)
        if missing:
            raise FileNotFoundError(
                f'{len(missing)} of {len(needed)} flow files of clip {clip} are '
                f'missing, the first is {missing[0]}; make them with\n'
                f'  {self.flow_command()}'
            )

    def flow_command(self) -> str:
        """Command line that makes the flow files."""
        root = self.data_root or '.'
        sharp = '<folder of the sharp LR frames>'
        if 'img_sharp' in self.data_prefix:
            sharp = os.path.relpath(self._root('img_sharp'), root)
        return (
            f'python tools/generate_flow.py --data-root {root} --sharp-lr {sharp} '
            f'--out {os.path.relpath(self._root("flow"), root)} '
            f'--num-frames {self.num_input_frames}'
        )

    def image_kinds(self) -> list[str]:
        """Kinds of images in the dataset."""
        return [kind for kind in IMAGE_KINDS if kind in self.data_prefix]

    def clip_roots(self, kind: str) -> list[str]:
        """Folders in which clips are looked for, here one."""
        return [self._root(kind)]

    def _root(self, kind: str) -> str:
        """The folder that holds the clips."""
        return self.data_prefix[kind].partition('{clip}')[0]

    def clip_folder(self, kind: str, clip: str) -> str:
        """Folder of the frames or the flow files of a clip."""
        root, _, inside = self.data_prefix[kind].partition('{clip}')
        return os.path.join(root, clip + inside)

    def frame_path(self, kind: str, clip: str, frame: str) -> str:
        """File of a frame, given by its stem."""
        return os.path.join(self.clip_folder(kind, clip), f'{frame}.png')

    def flow_paths(self, clip: str, window: list[str]) -> list[str | None]:
        """Flow files from the centre frame of a window to all of its frames.

        Args:
            clip (str): Name of the clip.
            window (list[str]): Stems of the frames.

        Returns:
            list[str | None]: Paths, None for the centre frame itself.
        """
        centre = window[len(window) // 2]
        folder = self.clip_folder('flow', clip)
        return [
            None
            if stem == centre
            else os.path.join(folder, flow_filename(centre, stem))
            for stem in window
        ]
