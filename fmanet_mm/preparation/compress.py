"""Compressed copies of the frames of a set."""

import os
from pathlib import Path

from tqdm import tqdm

from ..utils.clips import list_clips, list_frames
from ..video.compression import compress_frames
from ..video.images import read_image
from .png import write_png


def compress_clips(
    source: str | os.PathLike, out: str | os.PathLike, crf: float
) -> dict[str, int]:
    """Compress each clip of a folder as an H.264 video, and write its frames as PNG.

    See :func:`compress_frames`. A clip is held in memory, so it should have hundreds
    of frames at most. ``out`` gets the clips and frames of ``source`` under the same
    names, and does not exist before all of them are written.

    Args:
        source (str | PathLike): Folder with a folder of PNG frames for every clip.
        out (str | PathLike): Folder to make.
        crf (float): Constant rate factor, 0 to 51.

    Returns:
        dict[str, int]: Number of frames by clip.

    Raises:
        FileExistsError: If ``out`` exists.
        FileNotFoundError: If ``source`` is missing or holds no clips.
        ValueError: If ``crf`` is out of range, a clip has no frames or frames of
            several sizes, or a frame cannot be read.
    """
    source, out = Path(source), Path(out)
    if out.exists():
        raise FileExistsError(f'{out} exists; name a new folder, or remove it')
    clips = {clip: list_frames(source / clip) for clip in list_clips(source)}
    if not clips:
        raise FileNotFoundError(f'there are no folders of frames in {source}')
    unfinished = out.with_name(f'{out.name}.unfinished')
    for clip, names in tqdm(clips.items(), desc='Compressing', unit='clip'):
        frames = [read_image(source / clip / name) for name in names]
        try:
            compressed = compress_frames(frames, crf)
        except ValueError as error:
            raise ValueError(
                f'clip {source / clip} cannot be compressed: {error}'
            ) from error
        for name, frame in zip(names, compressed, strict=True):
            write_png(unfinished / clip / name, frame)
    unfinished.rename(out)
    return {clip: len(names) for clip, names in clips.items()}
