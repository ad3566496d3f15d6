"""Encoding of video files: codecs, containers, and their settings."""

import io
import os
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, product

import av
from av.codec import Codec, codecs_available
from av.codec.codec import Capabilities
from av.codec.context import Flags
from av.format import Flags as FormatFlags

from .clip_info import MATRIX_BT709, Colours, Mastering
from .colour import MATRIX_BT601, depth, is_hd, tag_colours

_QUANTIZER_CODECS = (
    'mjpeg',
    'mpeg1video',
    'mpeg2video',
    'mpeg4',
    'msmpeg4v2',
    'msmpeg4v3',
)
"""Codecs with constant quality, but without a constant rate factor."""
_DEFAULT_CRF = 15
"""Constant quality that is hard to tell from the original."""
_FINEST_QUANTIZER = 2
_QUANTIZER_UNIT = 118  # FF_QP2LAMBDA
_MAX_CRF = {
    'libx264': 51,
    'libx264rgb': 51,
    'libx265': 51,
    'libvpx': 63,
    'libvpx-vp9': 63,
    'libaom-av1': 63,
    'libsvtav1': 63,
}
"""Encoders with a constant rate factor, and its largest value."""
_ALWAYS = {
    # x264's SIMD paths are not bit-reproducible.
    'libx264': {'x264-params': 'cpu-independent=1'},
    'libx265': {'x265-params': 'log-level=error'},
}
"""Options that an encoder always gets."""
os.environ.setdefault('SVT_LOG', '1')  # Else it prints twenty lines for each segment.
_X265_BLOCK = 64
_SMALL_X265_BLOCK = 16
"""Width of x265's largest blocks, by default and for small pictures."""
_HDR_METADATA = {
    'libx265': ('x265-params', 'master-display', 'max-cll', (50_000, 10_000)),
    'libx264': ('x264-params', 'mastering-display', 'cll', (50_000, 10_000)),
    'libsvtav1': (
        'svtav1-params',
        'mastering-display',
        'content-light',
        (None, None),
    ),
}
"""Encoders that store mastering data: their option, its keys, and units."""
_CODECS_WITH_ASPECT = ('h264', 'hevc', 'mjpeg', 'mpeg1video', 'mpeg2video', 'mpeg4')
"""Codecs that store the pixel aspect ratio in the bitstream."""
_FORMATS_WITH_ASPECT = ('mp4', 'mov')
"""Containers that store the pixel aspect ratio."""
_CODECS_WITH_MATRIX = ('av1', 'h264', 'hevc', 'mpeg2video', 'vp9')
"""Codecs that store the matrix of their YUV in the bitstream; AVI does not store it."""
_CODECS_WITH_TRANSFER = ('av1', 'h264', 'hevc', 'mpeg2video')
"""Codecs that store primaries and transfer as well."""
_HDR_ENCODERS = ('libx265', 'libsvtav1', 'libx264', 'libvpx-vp9')
"""Encoders of HDR by preference; the first that a container holds is taken."""
_HDR_BITS = 10
"""Fewest bits of a sample that PQ and HLG need."""
_CONSTANT_RATE_CODECS = ('mpeg1video', 'mpeg2video', 'mpeg4', 'msmpeg4v3', 'msmpeg4v2')
"""Codecs without times finer than the frame rate."""
_CONSTANT_RATE_FORMATS = ('avi',)
"""Containers without times finer than the frame rate."""
_FINE_TICKS = 90_000
"""Default ticks per second: a multiple of common rates."""


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
        colours (Colours): What the RGB values of the frames mean.
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
    colours: Colours = Colours()

    def add_to(self, container: av.container.OutputContainer) -> av.VideoStream:
        """Add a stream with this encoding to a container of any format.

        Raises:
            ValueError: If the codec does not support it.
        """
        stream = container.add_stream(
            self.codec,
            rate=self.fps,
            time_base=self.tick,
            options={
                **self._fixed_options,
                **self.options,
            },
        )
        context = stream.codec_context
        context.height, context.width = self.height, self.width
        context.pix_fmt = self.pixel_format
        context.sample_aspect_ratio = self.sample_aspect_ratio
        tag_colours(context, self.colours, self.matrix)
        # The container may be that of a segment, of another format than the file.
        if self._has_global_header:
            context.flags |= Flags.global_header
        else:
            context.flags &= ~Flags.global_header
        if self.format == 'avi':
            context.max_b_frames = 0  # AVI has no presentation times.
        if self._canonical_codec == 'hevc' and container.format.name in ('mp4', 'mov'):
            context.codec_tag = 'hvc1'  # Some players accept no other.
        try:
            context.open()
        except av.FFmpegError as error:
            raise ValueError(
                f'{self.codec} does not encode frames of (H, W) = '
                f'{self.height, self.width} in {self.pixel_format} at {self.fps} fps '
                f'({error.strerror})'
            ) from error
        return stream

    def check_container(self) -> None:
        """Raise a ValueError if the container cannot hold such a stream."""
        with av.open(io.BytesIO(), 'w', format=self.format) as trial:
            self.add_to(trial)
            try:
                trial.start_encoding()
            except av.FFmpegError as error:
                raise ValueError(
                    f'{self.format} files cannot hold video of {self.codec} in '
                    f'{self.pixel_format} ({error.strerror})'
                ) from error

    @property
    def matrix(self) -> int:
        """Number of YUV's matrix; if it cannot be declared, what players assume."""
        if self._canonical_codec == 'mjpeg':
            return MATRIX_BT601  # By definition.
        if self.format != 'avi' or self._canonical_codec in _CODECS_WITH_MATRIX:
            return self.colours.matrix
        return MATRIX_BT709 if is_hd(self.height) else MATRIX_BT601

    @property
    def keeps_colours(self) -> bool:
        """Whether the file declares primaries and transfer, or need not."""
        return self.colours[:2] == Colours()[:2] or _declares_colours(
            self.format, self.codec
        )

    @property
    def keeps_mastering(self) -> bool:
        """Whether the file stores mastering display and light levels, if declared."""
        declared = self.colours.mastering, self.colours.light
        return declared == (None, None) or self.codec in _HDR_METADATA

    @property
    def keeps_aspect(self) -> bool:
        """Whether the file stores the pixel aspect ratio."""
        return (
            self.sample_aspect_ratio == 1
            or self.format in _FORMATS_WITH_ASPECT
            or self._canonical_codec in _CODECS_WITH_ASPECT
        )

    @property
    def _fixed_options(self) -> dict[str, str]:
        if self._canonical_codec in _QUANTIZER_CODECS:
            quality = _FINEST_QUANTIZER * _QUANTIZER_UNIT
            return {'flags': '+qscale', 'global_quality': str(quality)}
        return _join_parameters(
            _ALWAYS.get(self.codec, {}),
            _hdr_options(self.codec, self.colours),
            self._options_for_size,
        )

    @property
    def _options_for_size(self) -> dict[str, str]:
        """x265 corrupts its memory with blocks that are wider than the picture."""
        is_small = min(self.height, self.width) < _X265_BLOCK
        if self.codec == 'libx265' and is_small:
            return {'x265-params': f'ctu={_SMALL_X265_BLOCK}'}
        return {}

    @property
    def _canonical_codec(self) -> str:
        return Codec(self.codec, 'w').canonical_name

    @property
    def _has_global_header(self) -> bool:
        flags = av.ContainerFormat(self.format, 'w').flags
        return bool(flags & FormatFlags.global_header.value)


def find_codec(format: str, name: str | None = None, is_hdr: bool = False) -> str:
    """Find the encoder to use.

    Args:
        format (str): FFmpeg's name of the container.
        name (str, optional): The encoder, or the codec, such as ``'hevc'``; by default
            H.264, or VP9 in WebM.
        is_hdr (bool): Whether the default must keep HDR: HEVC, AV1 in WebM, or H.264
            in AVI.

    Returns:
        str: FFmpeg's name of the encoder.

    Raises:
        ValueError: If there is no such encoder, or the container cannot hold its codec.
    """
    with av.open(os.devnull, 'w', format=format) as container:
        supported = container.supported_codecs
        default = container.default_video_codec
    if name is None and is_hdr:
        return next(iter(_list_hdr_encoders(format)), default)
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
    """Return the options of an encoder for constant quality.

    Args:
        codec (str): FFmpeg's name of the encoder.
        crf (float, optional): Constant rate factor, the smaller the better; by default
            15.

    Returns:
        dict[str, str]: Empty if it has no constant rate factor.

    Raises:
        ValueError: If it has none but one is given, or it is out of range.
    """
    if codec not in _MAX_CRF:
        if crf is not None:
            raise ValueError(f'{codec} has no constant rate factor, got crf = {crf}')
        return {}
    largest = _MAX_CRF[codec]
    if crf is not None and not 0 <= crf <= largest:
        raise ValueError(f'crf of {codec} must be within 0 and {largest}, got {crf}')
    return {'crf': str(_DEFAULT_CRF if crf is None else crf)}


def check_pixel_format(codec: str, pixel_format: str) -> None:
    """Raise a ValueError with the available ones if an encoder lacks a pixel format."""
    available = _list_pixel_formats(codec)
    if pixel_format not in available:
        raise ValueError(
            f'{codec} has no pixel format {pixel_format!r}; available are '
            f'{", ".join(available)}'
        )


def check_hdr(format: str, codec: str, pixel_format: str | None, hdr: str) -> None:
    """Raise a ValueError if HDR would be shown with wrong colours.

    Args:
        format (str): FFmpeg's name of the container.
        codec (str): FFmpeg's name of the encoder.
        pixel_format (str, optional): As wanted by the user.
        hdr (str): Name of the source's transfer, such as ``'PQ'``.
    """
    pixel_format = pixel_format or find_pixel_format(codec, 2, 2, is_deep=True)
    is_deep = depth(av.VideoFormat(pixel_format)) >= _HDR_BITS
    if is_deep and _declares_colours(format, codec):
        return
    lack = 'declare its colours' if is_deep else f'hold its {_HDR_BITS} bits'
    raise ValueError(
        f'the source is HDR ({hdr}), and {codec} in {pixel_format} cannot {lack} in '
        f'{format} files; leave codec and pixel format out, or take one of '
        f'{", ".join(_list_hdr_encoders(format))} in yuv420p10le'
    )


def find_pixel_format(codec: str, height: int, width: int, is_deep: bool) -> str:
    """Find the pixel format to use.

    YUV 4:2:0, which every player supports, allows even sizes only; odd ones are encoded
    as 4:4:4.

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
    """Find the unit of timestamps that represents those of the source exactly.

    Args:
        format (str): FFmpeg's name of the container.
        codec (str): FFmpeg's name of the encoder.
        fps (Fraction): Frames per second.
        source_tick (Fraction, optional): The source's unit in seconds.

    Returns:
        Fraction: Seconds; ``1 / fps`` if only a constant rate can be encoded.
    """
    canonical = Codec(codec, 'w').canonical_name
    if format in _CONSTANT_RATE_FORMATS or canonical in _CONSTANT_RATE_CODECS:
        return 1 / fps
    if source_tick is not None:
        return source_tick
    return Fraction(1, fps.numerator * -(-_FINE_TICKS // fps.numerator))


def _declares_colours(format: str, codec: str) -> bool:
    """Whether a file stores primaries and transfer: the container or the bitstream."""
    return format != 'avi' or Codec(codec, 'w').canonical_name in _CODECS_WITH_TRANSFER


def _list_hdr_encoders(format: str) -> list[str]:
    """Encoders that keep HDR in a container, the best first."""
    with av.open(os.devnull, 'w', format=format) as container:
        supported = container.supported_codecs & codecs_available
    # Nothing but H.264 is expected in AVI.
    wanted = ('libx264',) if format == 'avi' else _HDR_ENCODERS
    return [name for name in wanted if name in supported]


def _hdr_options(codec: str, colours: Colours) -> dict[str, str]:
    """Options with which an encoder stores mastering display and light levels."""
    if codec not in _HDR_METADATA:
        return {}
    option, mastering_name, light_name, units = _HDR_METADATA[codec]
    parts = []
    if colours.mastering is not None:
        parts.append(f'{mastering_name}={_format_mastering(colours.mastering, *units)}')
    if colours.light is not None:
        parts.append(f'{light_name}={",".join(map(str, colours.light))}')
    if not parts:
        return {}
    if codec == 'libx265':
        parts += ['hdr10=1', 'repeat-headers=1']
    return {option: ':'.join(parts)}


def _join_parameters(*options: dict[str, str]) -> dict[str, str]:
    """Join options whose values are lists with colons."""
    joined = {}
    for name, value in chain.from_iterable(part.items() for part in options):
        joined[name] = f'{joined[name]}:{value}' if name in joined else value
    return joined


def _format_mastering(
    mastering: Mastering, per_unit: int | None, per_nit: int | None
) -> str:
    """Write a mastering display as encoders read it, in integers or decimals."""

    def write(value: Fraction, scale: int | None) -> str:
        return str(float(value)) if scale is None else str(round(value * scale))

    red, green, blue, white = [
        f'({write(x, per_unit)},{write(y, per_unit)})'
        for x, y in zip(
            mastering.primaries[::2], mastering.primaries[1::2], strict=True
        )
    ]
    luminance = ','.join(write(value, per_nit) for value in mastering.luminance)
    return f'G{green}B{blue}R{red}WP{white}L({luminance})'


def _find_encoder(name: str) -> Codec | None:
    try:
        codec = Codec(name, 'w')
    except ValueError:
        return None
    return codec if codec.type == 'video' else None


def _list_encoders(names: set[str]) -> list[str]:
    """The names of the encoders that need no hardware."""
    encoders = filter(None, map(_find_encoder, names))
    hardware = Capabilities.hardware | Capabilities.hybrid
    return sorted({e.name for e in encoders if not e.capabilities & hardware})


def _list_pixel_formats(codec: str) -> list[str]:
    formats = Codec(codec, 'w').video_formats or []
    return [format.name for format in formats] or ['yuv420p']
