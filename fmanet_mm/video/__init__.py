from .reader import ImageFolderReader, VideoFileReader, open_frames
from .writer import ImageFolderWriter, VideoFileWriter, open_writer

__all__ = [
    'ImageFolderReader',
    'ImageFolderWriter',
    'VideoFileReader',
    'VideoFileWriter',
    'open_frames',
    'open_writer',
]
