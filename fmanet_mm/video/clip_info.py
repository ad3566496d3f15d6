"""Facts about a clip that was read, for the file that is written from it."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path


@dataclass(frozen=True)
class ClipInfo:
    """Facts about the source of the frames; a reader has them as ``info``.

    Args:
        path (Path): The video file or folder of images.
        fps (Fraction): Frames per second, the mean of a variable frame rate.
        is_file (bool): Whether it is a video file, else a folder of images.
        num_frames (int, optional): Number of frames; for a video file an estimate from
            its header, or None if that does not allow one.
        sample_aspect_ratio (Fraction): Width by height of a pixel; 1 if unknown.
        start (Fraction, optional): Time in seconds from which frames are given.
        end (Fraction, optional): Time in seconds before which frames are given.
        origin (Fraction): Timestamp in seconds of the first frame in the file, to which
            the audio refers; 0 for a folder.
        stems (tuple[str, ...]): Names without suffix of the images of a folder, in
            order; empty for a video file.
        icc_profile (bytes, optional): ICC profile of the images of a folder, if it is
            one of RGB.
    """

    path: Path
    fps: Fraction
    is_file: bool
    num_frames: int | None = None
    sample_aspect_ratio: Fraction = Fraction(1)
    start: Fraction | None = None
    end: Fraction | None = None
    origin: Fraction = Fraction(0)
    stems: tuple[str, ...] = ()
    icc_profile: bytes | None = None
