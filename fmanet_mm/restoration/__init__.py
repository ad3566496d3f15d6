"""Restoring clips and videos, whatever the network."""

from .streaming import StreamingRestorer
from .video_restorer import EndedEarlyError, RestoredVideo, VideoRestorer

__all__ = ['EndedEarlyError', 'RestoredVideo', 'StreamingRestorer', 'VideoRestorer']
