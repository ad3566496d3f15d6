from .reader import FrameReader, ImageFolderReader, VideoFileReader, open_frames
from .writer import FrameWriter, ImageFolderWriter, VideoFileWriter, open_writer

__all__ = [
    'FrameReader',
    'FrameWriter',
    'ImageFolderReader',
    'ImageFolderWriter',
    'VideoFileReader',
    'VideoFileWriter',
    'open_frames',
    'open_writer',
]
