"""What headers of video files say about the size of the file."""

import os

_EBML = bytes.fromhex('1A45DFA3')
_SEGMENT = bytes.fromhex('18538067')


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
