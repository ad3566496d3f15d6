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
_BOXES = (
    *(b'ftyp', b'styp', b'moov', b'moof', b'mdat', b'wide', b'free', b'skip'),
    *(b'mfra', b'sidx', b'uuid', b'meta', b'udta', b'emsg', b'prft'),
)
"""Types of the outermost boxes of MP4 and QuickTime files."""
_LONGEST_PAGE = 27 + 255 + 255 * 255
"""Most bytes of a page of Ogg."""


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
        int | None: The size that the parts of an AVI, Matroska, WebM, MP4, QuickTime,
        Ogg or GIF file declare; None if they declare none, and for other formats.
    """
    with open(path, 'rb') as file:
        head = file.read(256)
        if head[4:8] in _BOXES:
            return _find_end_of_boxes(file)
        if head[:4] == b'OggS':
            return _find_end_of_pages(file)
        if head[:4] == b'GIF8':
            return _find_end_of_gif(head + file.read())
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


def _find_end_of_boxes(file: BinaryIO) -> int:
    """End of the last box of a file (ISO/IEC 14496-12, Section 4.2)."""
    size = file.seek(0, os.SEEK_END)
    end = 0
    while end < size:
        file.seek(end)
        head = file.read(16)
        length = int.from_bytes(head[:4], 'big')
        if length == 1:
            length = int.from_bytes(head[8:], 'big')
        if length < 8 or head[4:8] not in _BOXES:
            break  # It reaches the end of the file, or something else follows.
        end += length
    return end


def _find_end_of_pages(file: BinaryIO) -> int:
    """End of the last page of an Ogg file (RFC 3533, Section 6)."""
    size = file.seek(0, os.SEEK_END)
    start = file.seek(max(0, size - _LONGEST_PAGE))
    tail = file.read()
    page = tail[max(tail.rfind(b'OggS'), 0) :]
    segments = page[27 : 27 + page[26]] if len(page) > 26 else b''
    return start + len(tail) - len(page) + 27 + len(segments) + sum(segments)


def _find_end_of_gif(data: bytes) -> int:
    """End of the trailer of a GIF file; beyond the data if it is missing."""
    at = 13 + _size_of_palette(data[10])
    while data[at : at + 1] in (b'!', b','):
        is_image = data[at : at + 1] == b','
        if is_image and at + 9 < len(data):
            at += 11 + _size_of_palette(data[at + 9])
        else:
            at += 2
        while data[at : at + 1] not in (b'', b'\0'):
            at += 1 + data[at]
        at += 1
    return at + 1


def _size_of_palette(flags: int) -> int:
    return 3 << (flags % 8 + 1) if flags & 0x80 else 0
