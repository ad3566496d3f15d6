"""Facts about a clip that was read, for the file that is written from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

MATRIX_BT709 = 1
"""Number of BT.709's matrix of YUV in ITU-T H.273."""
_HDR_TRANSFERS = {16: 'PQ', 18: 'HLG'}


class Mastering(NamedTuple):
    """The display that a video was mastered on (SMPTE ST 2086).

    Attributes:
        primaries (tuple[Fraction, ...]): x and y of red, green, blue and white.
        luminance (tuple[Fraction, Fraction]): Brightest and darkest, in cd/m2.
    """

    primaries: tuple[Fraction, ...]
    luminance: tuple[Fraction, Fraction]


class Colours(NamedTuple):
    """What the RGB values of a video mean, by the numbers of ITU-T H.273.

    Attributes:
        primaries (int): Number of the primaries.
        transfer (int): Number of the transfer characteristics.
        matrix (int): Number of the matrix of YUV.
        mastering (Mastering | None): The mastering display, if it is declared.
        light (tuple[int, int] | None): Light levels of the brightest pixel and of the
            brightest frame (MaxCLL, MaxFALL), if they are declared.
    """

    primaries: int = 1
    transfer: int = 1
    matrix: int = MATRIX_BT709
    mastering: Mastering | None = None
    light: tuple[int, int] | None = None

    @property
    def hdr(self) -> str | None:
        """``'PQ'`` or ``'HLG'``; None for the standard dynamic range."""
        return _HDR_TRANSFERS.get(self.transfer)


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
        finest_rate (Fraction, optional): Frames per second of the shortest steps of a
            variable frame rate.
        colours (Colours): What the RGB values of the frames mean.
        files (tuple[Path, ...]): What the frames are read from: the video file, or the
            images.
        reading (Mapping[str, Any]): Options of reading that the frames depend on.
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
    finest_rate: Fraction | None = None
    colours: Colours = Colours()
    files: tuple[Path, ...] = ()
    reading: Mapping[str, Any] = field(default_factory=dict)
    icc_profile: bytes | None = None
