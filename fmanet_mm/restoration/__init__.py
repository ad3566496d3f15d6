"""Restoring clips and videos, whatever the network."""

from ..video.limits import Limits
from ..video.options import ReadOptions, Resume, WriteOptions
from ..video.spans import Part
from .adapters import RESTORERS, SequenceRestorer, window_restorer
from .loading import build_restorer, load_network, load_restorer
from .protocol import ClipRestorer, WindowNetwork
from .streaming import StreamingRestorer
from .video_restorer import (
    EndedEarlyError,
    NotFiniteError,
    RestoredVideo,
    RestoreOptions,
    VideoRestorer,
)

__all__ = [
    'RESTORERS',
    'ClipRestorer',
    'EndedEarlyError',
    'Limits',
    'NotFiniteError',
    'Part',
    'ReadOptions',
    'RestoreOptions',
    'RestoredVideo',
    'Resume',
    'SequenceRestorer',
    'StreamingRestorer',
    'VideoRestorer',
    'WindowNetwork',
    'WriteOptions',
    'build_restorer',
    'load_network',
    'load_restorer',
    'window_restorer',
]
