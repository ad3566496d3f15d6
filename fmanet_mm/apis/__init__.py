from .inference import restoration_video_inference
from .inferencer import FMANetInferencer
from .registration import register_inferencer
from .streaming import StreamingRestorer

__all__ = [
    'FMANetInferencer',
    'StreamingRestorer',
    'register_inferencer',
    'restoration_video_inference',
]
