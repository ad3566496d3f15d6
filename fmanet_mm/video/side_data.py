"""Side data of decoded frames."""

from typing import Any

import av
from av.sidedata.sidedata import Type


def read_side_data(frame: av.VideoFrame, kind: str) -> Any:
    """Read what a frame carries besides its picture.

    Args:
        frame (VideoFrame): A decoded frame.
        kind (str): PyAV's name of the kind of data.

    Returns:
        A buffer; None if the frame has no such data.
    """
    return frame.side_data.get(kind)


def _name_unknown(cls: type[Type], number: int) -> Type:
    kind = object.__new__(cls)
    kind._name_, kind._value_ = f'UNKNOWN_{number}', number
    return kind


# FFmpeg has kinds that PyAV has no names for, such as the EXIF data of cameras. PyAV
# would refuse to read anything of a frame that has one.
Type._missing_ = classmethod(_name_unknown)
