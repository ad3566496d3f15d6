"""Restoring clips and videos, whatever the network."""

from ..video.limits import Limits
from ..video.options import ReadOptions, Resume, WriteOptions
from ..video.spans import Part
from .adapters import RESTORERS, SequenceRestorer, window_restorer
from .levels import LevelRestorer
from .loading import build_restorer, load_network, load_restorer
from .protocol import ClipRestorer, LevelNetwork, RecurrentNetwork, WindowNetwork
from .recurrent import RecurrentRestorer
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
    'LevelNetwork',
    'LevelRestorer',
    'Limits',
    'NotFiniteError',
    'Part',
    'ReadOptions',
    'RecurrentNetwork',
    'RecurrentRestorer',
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
