"""Containers of video files: how they are opened, and what their headers say."""

import os
from collections.abc import Mapping
from typing import BinaryIO

import av
from av.container import Flags

# FFmpeg's names of the formats that hold a video in one file. Left out are playlists,
# manifests and scripts, which name other files or addresses.
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
_EBML = bytes.fromhex('1A45DFA3')
_SEGMENT = bytes.fromhex('18538067')


def open_container(
    file: BinaryIO, options: Mapping[str, str] | None = None
) -> av.container.InputContainer:
    """Open a video file by its content; nothing but the file itself is read.

    Args:
        file (BinaryIO): A local file that is open for reading.
        options (Mapping[str, str] | None): Further options of FFmpeg.

    Raises:
        FFmpegError | OSError: If it is no video file, or of a format that may refer to
            other files or to the network.
    """
    container = av.open(
        file,
        options={
            'format_whitelist': ','.join(_FORMATS),
            'protocol_whitelist': 'none',
            **(options or {}),
        },
        metadata_errors='replace',  # Titles and the like may be in any encoding.
    )
    # FFmpeg would make up presentation times of AVI files, and wrong ones.
    container.flags &= ~Flags.gen_pts.value
    return container


def declared_size(path: str | os.PathLike) -> int | None:
    """Read how many bytes a file must at least have.

    Args:
        path (str | PathLike): A video file.

    Returns:
        int | None: For AVI and Matroska or WebM files what the header says, if it says
        something; None for others.
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
    """Size of an EBML element (RFC 8794, Section 4) and where its data begin.

    The number of leading zero bits says how many bytes follow the first; all ones
    mean that the size is not known.
    """
    length = 9 - data[start].bit_length()
    end = start + length
    bits = 7 * length
    size = int.from_bytes(data[start:end], 'big') & ((1 << bits) - 1)
    return (None if size == (1 << bits) - 1 else size), end
