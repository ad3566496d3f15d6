"""What video files are encoded with: containers, codecs, and their settings."""

import io
import os
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import av
from av.codec import Codec, codecs_available
from av.codec.codec import Capabilities
from av.codec.context import Flags
from av.format import Flags as FormatFlags

from .colour import is_hd, tag_colours

# FFmpeg's names of the containers.
VIDEO_FORMATS = {
    '.mp4': 'mp4',
    '.mov': 'mov',
    '.mkv': 'matroska',
    '.webm': 'webm',
    '.avi': 'avi',
}
# These lack a constant rate factor, but not constant quality.
_QUANTIZER_CODECS = (
    'mjpeg',
    'mpeg1video',
    'mpeg2video',
    'mpeg4',
    'msmpeg4v2',
    'msmpeg4v3',
)
# Constant quality that is hard to tell from the original; of quantizers, the finest.
_DEFAULT_CRF = 15
_FINEST_QUANTIZER = 2
_QUANTIZER_UNIT = 118  # FF_QP2LAMBDA
# FFmpeg knows no bound for these, but the codecs do.
_MAX_CRF = {'libx264': 51, 'libx265': 51}
_ALWAYS = {
    # With the instructions of some processors it is not even reproducible on one.
    'libx264': {'x264-params': 'cpu-independent=1'},
    'libx265': {'x265-params': 'log-level=error'},
}
# They say in their own data how wide pixels are; other codecs leave it to containers.
_CODECS_WITH_ASPECT = ('h264', 'hevc', 'mjpeg', 'mpeg1video', 'mpeg2video', 'mpeg4')
_FORMATS_WITH_ASPECT = ('mp4', 'mov')
# They name the matrix of their YUV, which AVI does not.
_CODECS_WITH_MATRIX = ('av1', 'h264', 'mpeg2video', 'vp9')
# They have no times that are finer than the frame rate.
_CONSTANT_RATE_CODECS = ('mpeg1video', 'mpeg2video', 'mpeg4', 'msmpeg4v3', 'msmpeg4v2')
_CONSTANT_RATE_FORMATS = ('avi',)
# Unit of times where no other is known: divides the usual ones.
_FINE_TICKS = 90_000


@dataclass(frozen=True)
class Encoding:
    """How the frames of a video file are encoded.

    Args:
        format (str): FFmpeg's name of the container.
        codec (str): FFmpeg's name of the encoder.
        options (dict[str, str]): Its options.
        pixel_format (str): FFmpeg's name.
        height (int): Rows of a frame.
        width (int): Columns of a frame.
        fps (Fraction): Frames per second, the mean of a variable rate.
        tick (Fraction): Unit of the timestamps in seconds.
        sample_aspect_ratio (Fraction): Width by height of a pixel.
    """

    format: str
    codec: str
    options: dict[str, str]
    pixel_format: str
    height: int
    width: int
    fps: Fraction
    tick: Fraction
    sample_aspect_ratio: Fraction

    def add_to(self, container: av.container.OutputContainer) -> av.VideoStream:
        """Add a stream that encodes so to a container, whatever its format is.

        Raises:
            ValueError: If the codec cannot encode so.
        """
        stream = container.add_stream(
            self.codec,
            rate=self.fps,
            time_base=self.tick,
            options={**_ALWAYS.get(self.codec, {}), **self.options},
        )
        context = stream.codec_context
        context.height, context.width = self.height, self.width
        context.pix_fmt = self.pixel_format
        context.sample_aspect_ratio = self.sample_aspect_ratio
        tag_colours(context, self.is_bt709)
        if self._canonical_codec in _QUANTIZER_CODECS:
            context.qscale = True
            context.global_quality = _FINEST_QUANTIZER * _QUANTIZER_UNIT
        # The stream's own container may be one of segments.
        if self._has_global_header:
            context.flags |= Flags.global_header
        else:
            context.flags &= ~Flags.global_header
        if self.format == 'avi':
            context.max_b_frames = 0  # AVI has no times of presentation.
        if self._canonical_codec == 'hevc' and container.format.name in ('mp4', 'mov'):
            context.codec_tag = 'hvc1'  # Some players know no other.
        try:
            context.open()
        except av.FFmpegError as error:
            raise ValueError(
                f'{self.codec} takes no frames of (H, W) = {self.height, self.width} '
                f'in {self.pixel_format} at {self.fps} fps ({error.strerror})'
            ) from error
        return stream

    def check_container(self) -> None:
        """Raise a ValueError if the container does not take such a stream."""
        with av.open(io.BytesIO(), 'w', format=self.format) as trial:
            self.add_to(trial)
            try:
                trial.start_encoding()
            except av.FFmpegError as error:
                raise ValueError(
                    f'{self.format} files take no video of {self.codec} in '
                    f'{self.pixel_format} ({error.strerror})'
                ) from error

    @property
    def is_bt709(self) -> bool:
        """Whether YUV is of BT.709; where nothing can say so, as players guess."""
        if self._canonical_codec == 'mjpeg':
            return False  # It is of BT.601 by definition.
        return (
            self.format != 'avi'
            or self._canonical_codec in _CODECS_WITH_MATRIX
            or is_hd(self.height)
        )

    @property
    def keeps_aspect(self) -> bool:
        """Whether a player is told how wide pixels are."""
        return (
            self.sample_aspect_ratio == 1
            or self.format in _FORMATS_WITH_ASPECT
            or self._canonical_codec in _CODECS_WITH_ASPECT
        )

    @property
    def _canonical_codec(self) -> str:
        return Codec(self.codec, 'w').canonical_name

    @property
    def _has_global_header(self) -> bool:
        flags = av.ContainerFormat(self.format, 'w').flags
        return bool(flags & FormatFlags.global_header.value)


def find_format(path: str | os.PathLike) -> str:
    """Tell FFmpeg's name of the container that a file name asks for.

    Raises:
        ValueError: If the suffix is of no container that is supported.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in VIDEO_FORMATS:
        raise ValueError(
            f'cannot write {path}: a video must end in one of '
            f'{", ".join(VIDEO_FORMATS)}, and a new folder must have no suffix'
        )
    return VIDEO_FORMATS[suffix]


def find_codec(format: str, name: str | None = None) -> str:
    """Find the encoder to use.

    Args:
        format (str): FFmpeg's name of the container.
        name (str | None): The encoder, or the codec, such as ``'hevc'``; by default
            H.264, or VP9 in WebM.

    Returns:
        str: FFmpeg's name of the encoder.

    Raises:
        ValueError: If there is no such encoder, or the container does not hold it.
    """
    with av.open(os.devnull, 'w', format=format) as container:
        supported = container.supported_codecs
        default = container.default_video_codec
    if name is None:
        is_there = 'libx264' in supported & codecs_available
        return 'libx264' if is_there else Codec(default, 'w').name
    codec = _find_encoder(name)
    if codec is not None and codec.name in supported:
        return codec.name
    problem = 'is unknown' if codec is None else f'does not go into {format} files'
    raise ValueError(
        f'the video codec {name!r} {problem}; available are '
        f'{", ".join(_list_encoders(supported))}'
    )


def find_options(codec: str, crf: float | None = None) -> dict[str, str]:
    """Tell the options of an encoder that give constant quality.

    Args:
        codec (str): FFmpeg's name of the encoder.
        crf (float | None): Constant rate factor, the smaller the better; by default 15.

    Returns:
        dict[str, str]: Empty if it has no constant rate factor.

    Raises:
        ValueError: If it has none but one is given, or it is out of range.
    """
    context = av.CodecContext.create(codec, 'w')
    options = {option.name: option for option in context.supported_options.private}
    if 'crf' not in options:
        if crf is not None:
            raise ValueError(f'{codec} has no constant rate factor, got crf = {crf}')
        return {}
    largest = _MAX_CRF.get(codec, int(options['crf'].max))
    if crf is not None and not 0 <= crf <= largest:
        raise ValueError(f'crf of {codec} must be within 0 and {largest}, got {crf}')
    return {'crf': str(_DEFAULT_CRF if crf is None else crf)}


def check_pixel_format(codec: str, pixel_format: str) -> None:
    """Raise a ValueError that names the others if an encoder lacks a pixel format."""
    available = _list_pixel_formats(codec)
    if pixel_format not in available:
        raise ValueError(
            f'{codec} has no pixel format {pixel_format!r}; available are '
            f'{", ".join(available)}'
        )


def find_pixel_format(codec: str, height: int, width: int, is_deep: bool) -> str:
    """Find the pixel format to use.

    YUV 4:2:0, which every player knows, has no odd sizes, so these are encoded as
    4:4:4; the size is exact either way.

    Args:
        codec (str): FFmpeg's name of the encoder.
        height (int): Rows of a frame.
        width (int): Columns of a frame.
        is_deep (bool): Whether to take 10 bits if the codec can.

    Returns:
        str: FFmpeg's name.
    """
    available = _list_pixel_formats(codec)
    is_even = height % 2 == 0 and width % 2 == 0
    samplings = ('420', '422', '444') if is_even else ('444', '420')
    depths = ('10le', '') if is_deep else ('', '10le')
    yuv = 'yuvj' if available[0].startswith('yuvj') else 'yuv'
    wanted = [f'{yuv}{s}p{depth}' for depth, s in product(depths, samplings)]
    return next((name for name in wanted if name in available), available[0])


def find_tick(
    format: str, codec: str, fps: Fraction, source_tick: Fraction | None = None
) -> Fraction:
    """Find the unit of timestamps that keeps those of the source.

    Args:
        format (str): FFmpeg's name of the container.
        codec (str): FFmpeg's name of the encoder.
        fps (Fraction): Frames per second.
        source_tick (Fraction | None): The source's unit in seconds.

    Returns:
        Fraction: Seconds; ``1 / fps`` if only a constant rate can be encoded.
    """
    canonical = Codec(codec, 'w').canonical_name
    if format in _CONSTANT_RATE_FORMATS or canonical in _CONSTANT_RATE_CODECS:
        return 1 / fps
    if source_tick is not None:
        return source_tick
    return Fraction(1, fps.numerator * -(-_FINE_TICKS // fps.numerator))


def _find_encoder(name: str) -> Codec | None:
    try:
        codec = Codec(name, 'w')
    except ValueError:
        return None
    return codec if codec.type == 'video' else None


def _list_encoders(names: set[str]) -> list[str]:
    """Those that need no hardware."""
    encoders = filter(None, map(_find_encoder, names))
    hardware = Capabilities.hardware | Capabilities.hybrid
    return sorted({e.name for e in encoders if not e.capabilities & hardware})


def _list_pixel_formats(codec: str) -> list[str]:
    formats = Codec(codec, 'w').video_formats or []
    return [format.name for format in formats] or ['yuv420p']
