from .inference import restoration_video_inference
from .inferencer import FMANetInferencer
from .registration import register_inferencer
from .streaming import StreamingRestorer
from .video_restorer import EndedEarlyError, RestoredVideo, VideoRestorer

__all__ = [
    'EndedEarlyError',
    'FMANetInferencer',
    'RestoredVideo',
    'StreamingRestorer',
    'VideoRestorer',
    'register_inferencer',
    'restoration_video_inference',
]
