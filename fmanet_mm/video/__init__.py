from .limits import Limits
from .reader import (
    FrameReader,
    ImageFolderReader,
    TimedFrame,
    VideoFileReader,
    open_frames,
)
from .scenes import SceneCutDetector, split_shots
from .writer import FrameWriter, ImageFolderWriter, VideoFileWriter, open_writer

__all__ = [
    'FrameReader',
    'FrameWriter',
    'ImageFolderReader',
    'ImageFolderWriter',
    'Limits',
    'SceneCutDetector',
    'TimedFrame',
    'VideoFileReader',
    'VideoFileWriter',
    'open_frames',
    'open_writer',
    'split_shots',
]
