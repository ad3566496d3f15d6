"""Containers of video files: opening them, and reading sizes from their headers."""

import os
from collections.abc import Mapping
from fractions import Fraction
from numbers import Rational
from typing import BinaryIO

import av
from av.container import Flags

_FORMATS = (
    'mov,mp4,m4a,3gp,3g2,mj2',
    'matroska,webm',
    'avi',
    'mpegts',
    'mpeg',
    'mpegvideo',
    'asf',
    'flv',
    'live_flv',
    'ogg',
    'mxf',
    'gxf',
    'nut',
    'ivf',
    'dv',
    'rm',
    'wtv',
    'dhav',
    'yuv4mpegpipe',
    'h264',
    'hevc',
    'vvc',
    'av1',
    'obu',
    'm4v',
    'h263',
    'vc1',
    'mjpeg',
    'gif',
    'apng',
)
"""FFmpeg's names of the formats that hold a video in one file.

Playlists, manifests and scripts, which refer to other files or addresses, are left out.
"""
_EBML = bytes.fromhex('1A45DFA3')
_SEGMENT = bytes.fromhex('18538067')


def open_container(
    file: BinaryIO, options: Mapping[str, str] | None = None
) -> av.container.InputContainer:
    """Open a video file by its content; only the file itself is read.

    Args:
        file (BinaryIO): A local file, open for reading.
        options (Mapping[str, str], optional): Further options of FFmpeg.

    Raises:
        FFmpegError | OSError: If it is not a video file, or its format may refer to
            other files or to the network.
    """
    container = av.open(
        file,
        options={
            'format_whitelist': ','.join(_FORMATS),
            'protocol_whitelist': 'none',
            **(options or {}),
        },
        **_metadata_arguments(),
    )
    # FFmpeg would invent presentation times for AVI files, and wrong ones.
    container.flags &= ~Flags.gen_pts.value
    return container


def exact(value: Rational) -> Fraction:
    """Convert a rate or a unit of time; from PyAV 19 on, they are not Fractions."""
    return Fraction(value.numerator, value.denominator)


def _metadata_arguments() -> dict[str, str]:
    """Arguments of ``av.open`` that accept tags in any encoding.

    PyAV 19 has none; it always accepts them.
    """
    if int(av.__version__.partition('.')[0]) < 19:
        return {'metadata_errors': 'replace'}
    return {}


def declared_size(path: str | os.PathLike) -> int | None:
    """Read the smallest size in bytes that a file must have.

    Args:
        path (str | PathLike): A video file.

    Returns:
        int | None: The size that the header of an AVI, Matroska or WebM file declares;
        None if it declares none, and for other formats.
    """
    with open(path, 'rb') as file:
        head = file.read(256)
    if head[:4] == b'RIFF':
        return 8 + int.from_bytes(head[4:8], 'little')
    if head[:4] == _EBML:
        size, start = _read_ebml_size(head, 4)
        segment = start + size
        if head[segment : segment + 4] == _SEGMENT:
            size, start = _read_ebml_size(head, segment + 4)
            return None if size is None else start + size
    return None


def _read_ebml_size(data: bytes, start: int) -> tuple[int | None, int]:
    """Size of an EBML element (RFC 8794, Section 4) and the offset of its data.

    The number of leading zero bits is the number of bytes after the first; all ones
    mean that the size is unknown.
    """
    length = 9 - data[start].bit_length()
    end = start + length
    bits = 7 * length
    size = int.from_bytes(data[start:end], 'big') & ((1 << bits) - 1)
    return (None if size == (1 << bits) - 1 else size), end
