"""Options of reading and writing, as values that are passed on together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from .limits import Limits

DEFAULT_FPS = Fraction(25)
"""Frames per second where neither a file nor a caller gives them."""

DEINTERLACE = ('auto', 'off')
"""Ways to treat interlaced frames."""


@dataclass(frozen=True)
class ReadOptions:
    """Which frames to read, and how.

    Args:
        start (Fraction | float, optional): Skip frames before this time, in seconds
            since the first frame. They are still decoded.
        end (Fraction | float, optional): Skip frames at and after this time.
        folder_fps (Fraction | float): Frames per second of a folder of images; a video
            file has its own.
        pattern (str, optional): Which files of a folder to read, such as
            ``'left_*.png'``; by default all with the suffix of an image.
        limits (Limits): What is refused as too large or too long.
        keep_depth (bool): Give uint16 for video of more than 8 bits and for 16-bit
            images, instead of rounding to 8 bits.
        deinterlace (str): ``'auto'`` for deinterlacing the frames of a video file that
            are marked as interlaced, each to one frame; ``'off'`` for leaving them.
        stop_at_damage (bool): End a video file at the first frame that cannot be
            decoded, instead of leaving such frames out.
        to_srgb (bool): Convert images with an ICC profile to sRGB, instead of keeping
            the profile.

    Attributes:
        start (Fraction | None): As given, but exact: 0.2 becomes 1/5.
        end (Fraction | None): As given, but exact.
        folder_fps (Fraction): As given, but exact.

    Raises:
        ValueError: If ``start`` or ``end`` is negative, ``end`` is not after
            ``start``, ``folder_fps`` is not positive, or ``deinterlace`` is unknown.
    """

    start: Fraction | float | None = None
    end: Fraction | float | None = None
    folder_fps: Fraction | float = DEFAULT_FPS
    pattern: str | None = None
    limits: Limits = Limits()
    keep_depth: bool = False
    deinterlace: str = 'auto'
    stop_at_damage: bool = False
    to_srgb: bool = False

    def __post_init__(self) -> None:
        if self.deinterlace not in DEINTERLACE:
            raise ValueError(
                f'deinterlace must be one of {", ".join(DEINTERLACE)}, got '
                f'{self.deinterlace!r}'
            )
        start = _to_seconds('start', self.start)
        end = _to_seconds('end', self.end)
        if end is not None and end <= (start or 0):
            raise ValueError(
                f'end = {self.end} s leaves nothing; it must be greater than start = '
                f'{self.start or 0} s'
            )
        folder_fps = Fraction(self.folder_fps).limit_denominator(65536)
        if folder_fps <= 0:
            raise ValueError(
                f'folder_fps must be at least 1 / 65536, got {float(self.folder_fps)}'
            )
        for name, value in [
            ('start', start),
            ('end', end),
            ('folder_fps', folder_fps),
        ]:
            object.__setattr__(self, name, value)

    @property
    def reading(self) -> dict[str, Any]:
        """The options that the frames of given files depend on."""
        names = ('start', 'end', 'deinterlace', 'stop_at_damage', 'to_srgb')
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class WriteOptions:
    """How to write frames.

    Args:
        codec (str, optional): FFmpeg's name of the codec or encoder of a video file; by
            default H.264, or VP9 in WebM; for HDR HEVC, or AV1 in WebM.
        crf (float, optional): Constant rate factor of a video file, the smaller the
            better; by default 15.
        pixel_format (str, optional): FFmpeg's name; by default 4:2:0, or 4:4:4 for odd
            sizes, with 10 bits for uint16 frames if the codec supports that.
        filenames (Iterable[str], optional): Names of the images in a folder; by default
            PNG images with the frame's number in eight digits. Only PNG and TIFF keep
            the 16 bits of uint16 frames.
    """

    codec: str | None = None
    crf: float | None = None
    pixel_format: str | None = None
    filenames: Iterable[str] | None = None


@dataclass(frozen=True)
class Resume:
    """Whether partial output is kept, and whether an earlier run is resumed.

    Args:
        enabled (bool): Resume an interrupted run that kept its partial output, if there
            is one: its frames are not written again. Implies ``keep_partial``.
        keep_partial (bool): If the run is interrupted or fails, keep the frames written
            so far in the folder ``.<name>.partial`` next to the output.
        settings (Mapping[str, Any]): What determines the frames, such as the settings
            of a network. A run can only be resumed with the same settings.

    Attributes:
        keep_partial (bool): As given; True if ``enabled`` is.
    """

    enabled: bool = False
    keep_partial: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, 'keep_partial', self.keep_partial or self.enabled)


def _to_seconds(name: str, value: Fraction | float | None) -> Fraction | None:
    """Make a time exact, so that 0.2 is 1/5."""
    if value is None:
        return None
    if value < 0:
        raise ValueError(f'{name} must be at least 0 seconds, got {value}')
    seconds = Fraction(value)
    return seconds.limit_denominator(1_000_000) if isinstance(value, float) else seconds


READ_DEFAULTS = ReadOptions()
WRITE_DEFAULTS = WriteOptions()
NO_RESUME = Resume()
