"""Conversion between RGB and the YUV of video files."""

from fractions import Fraction
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from .clip_info import MATRIX_BT709, Colours, Mastering
from .side_data import read_side_data

# FFmpeg's numbers; only recent versions of PyAV name them.
_BICUBIC = 0x4  # SWS_BICUBIC
_FULL_CHROMA_OUT = 0x2000  # SWS_FULL_CHR_H_INT
_FULL_CHROMA_IN = 0x4000  # SWS_FULL_CHR_H_INP
_ACCURATE_ROUNDING = 0x40000  # SWS_ACCURATE_RND
_MATRIX_RGB = 0  # AVCOL_SPC_RGB
_MATRIX_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
MATRIX_BT601 = 5  # AVCOL_SPC_BT470BG
_MATRIX_BT2020 = 9  # AVCOL_SPC_BT2020_NCL
_PRIMARIES_BT2020 = 9  # AVCOL_PRI_BT2020

_EXACT = _BICUBIC | _FULL_CHROMA_OUT | _FULL_CHROMA_IN | _ACCURATE_ROUNDING
"""Flags without which swscale is up to 2 of 255 levels off, even in flat colour."""
_SWSCALE_WHITE = 255 << 8
"""White in 16-bit RGB as swscale expects it for YUV."""
_MAX_SD_HEIGHT = 576
_MATRICES = (1, 4, 5, 6, 7, 9)
"""Matrices of YUV that swscale knows: BT.709, FCC, BT.601 (two), 240M, BT.2020."""
_UNKNOWN = (0, 2, 3)
"""Numbers of primaries and transfers that are reserved or say "unspecified"."""


class Orientation(NamedTuple):
    """How to rotate a decoded picture upright: transpose first, then mirror.

    Attributes:
        transpose (bool): Whether rows become columns.
        mirror_x (bool): Whether left and right are swapped.
        mirror_y (bool): Whether top and bottom are swapped.
    """

    transpose: bool
    mirror_x: bool
    mirror_y: bool

    @classmethod
    def of(cls, frame: av.VideoFrame) -> 'Orientation':
        """Read the display matrix; angles are rounded to quarter turns."""
        matrix = read_side_data(frame, 'DISPLAYMATRIX')
        if matrix is None:
            return cls(False, False, False)
        # (x, y) of the picture is shown at (x * x_to_x + y * y_to_x, ...).
        x_to_x, x_to_y, _, y_to_x, y_to_y = np.frombuffer(matrix, np.int32)[:5].tolist()
        if abs(x_to_y) + abs(y_to_x) > abs(x_to_x) + abs(y_to_y):
            return cls(True, y_to_x < 0, x_to_y < 0)
        return cls(False, x_to_x < 0, y_to_y < 0)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Rotate (H, W, C), without a copy."""
        if self.transpose:
            image = image.transpose(1, 0, 2)
        return image[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1]


def to_rgb(
    frame: av.VideoFrame,
    reformatter: VideoReformatter,
    dtype: np.dtype | type = np.uint8,
) -> np.ndarray:
    """Convert a decoded frame to RGB.

    Range and YUV matrix are those that the frame declares. A frame without a matrix is
    assumed to be BT.601 up to 576 rows and BT.709 above, as in video players.

    Args:
        frame (av.VideoFrame): Of any pixel format.
        reformatter (VideoReformatter): Reused for all frames, to save its set-up.
        dtype (np.dtype | type): uint8, or uint16 that spans 0 to 65535.

    Returns:
        np.ndarray: (H, W, 3), upright.

    Raises:
        FFmpegError: If swscale cannot convert from its matrix.
    """
    guess_bt709 = frame.colorspace == _MATRIX_UNSPECIFIED and is_hd(frame.height)
    is_deep = depth(frame.format) > 8
    image = reformatter.reformat(
        frame,
        format='rgb48le' if is_deep else 'rgb24',
        src_colorspace=Colorspace.ITU709 if guess_bt709 else None,
        dst_color_range=ColorRange.JPEG,
        interpolation=_EXACT,
    ).to_ndarray()
    if is_deep:
        image = _rescale(image, _deep_white(frame), dtype)
    elif dtype == np.uint16:
        image = image.astype(np.uint16) * 257
    return np.ascontiguousarray(Orientation.of(frame).apply(image))


def read_colours(frame: av.VideoFrame, context: av.VideoCodecContext) -> Colours:
    """Read the colours that a frame and its decoder declare.

    What is unspecified is BT.709, and so is the matrix of RGB, which will become YUV.
    """
    default = Colours()
    primaries = _known(context.color_primaries, default.primaries)
    matrix = int(frame.colorspace)
    if matrix not in _MATRICES:
        is_bt2020 = primaries == _PRIMARIES_BT2020
        matrix = _MATRIX_BT2020 if is_bt2020 else MATRIX_BT709
    return Colours(
        primaries,
        _known(context.color_trc, default.transfer),
        matrix,
        _read_mastering(read_side_data(frame, 'MASTERING_DISPLAY_METADATA')),
        _read_light(read_side_data(frame, 'CONTENT_LIGHT_LEVEL')),
    )


def may_be_transparent(pixel_format: av.VideoFormat) -> bool:
    """Whether a pixel format has an alpha channel, or a palette of colours with one."""
    return len(pixel_format.components) in (2, 4) or pixel_format.has_palette


def is_transparent(frame: av.VideoFrame) -> bool:
    """Whether any pixel is not opaque; the frame's format must allow it."""
    return bool(frame.reformat(format='rgba').to_ndarray()[..., 3].min() < 255)


def is_hd(height: int) -> bool:
    """Whether frames without a declared matrix are assumed to be BT.709."""
    return height > _MAX_SD_HEIGHT


def depth(pixel_format: av.VideoFormat) -> int:
    """Bits per sample."""
    return max(component.bits for component in pixel_format.components)


def _deep_white(frame: av.VideoFrame) -> int:
    """White in swscale's 16-bit RGB, which is below 65535."""
    if frame.format.is_rgb:
        return 65535
    is_grey = len(frame.format.components) < 3
    if is_grey or frame.color_range == ColorRange.JPEG:
        bits = depth(frame.format)
        return ((1 << bits) - 1) << (16 - bits)
    return 65283


def _rescale(image: np.ndarray, white: int, dtype: np.dtype | type) -> np.ndarray:
    """Map [0, ``white``] to the full range of a type, with rounding."""
    if dtype == np.uint8:
        return cv2.convertScaleAbs(image, alpha=255 / white)
    return cv2.addWeighted(image, 65535 / white, image, 0, 0)


def from_rgb(
    image: np.ndarray,
    pixel_format: str,
    reformatter: VideoReformatter,
    matrix: int = MATRIX_BT709,
) -> av.VideoFrame:
    """Convert RGB to the pixel format of a video file.

    Args:
        image (np.ndarray): (H, W, 3), uint8, or uint16 that spans 0 to 65535.
        pixel_format (str): FFmpeg's name.
        reformatter (VideoReformatter): Reused for all frames, to save its set-up.
        matrix (int): Number of the matrix of YUV (ITU-T H.273), by default BT.709.

    Returns:
        VideoFrame: YUV in limited range, or in full range for the formats ``yuvj...``;
        RGB if the format is RGB.
    """
    is_rgb, is_full = _traits(pixel_format)
    if image.dtype == np.uint16 and not is_rgb:
        image = cv2.addWeighted(image, _SWSCALE_WHITE / 65535, image, 0, 0)
    frame = av.VideoFrame.from_ndarray(
        np.ascontiguousarray(image), 'rgb24' if image.dtype == np.uint8 else 'rgb48le'
    )
    # It passes on to YUV; as an argument, PyAV 17 would take BT.2020 for BT.601.
    frame.colorspace = _MATRIX_RGB if is_rgb else matrix
    return reformatter.reformat(
        frame,
        format=pixel_format,
        dst_color_range=ColorRange.JPEG if is_full else ColorRange.MPEG,
        interpolation=_EXACT,
    )


def tag_colours(
    context: av.VideoCodecContext, colours: Colours, matrix: int = MATRIX_BT709
) -> None:
    """Declare the colours of what :func:`from_rgb` gives.

    Args:
        context (VideoCodecContext): The encoder.
        colours (Colours): Those of the RGB images.
        matrix (int): The matrix of YUV, as for :func:`from_rgb`.
    """
    is_rgb, is_full = _traits(context.pix_fmt)
    context.colorspace = _MATRIX_RGB if is_rgb else matrix
    context.color_range = ColorRange.JPEG if is_full else ColorRange.MPEG
    context.color_primaries = colours.primaries
    context.color_trc = colours.transfer


def _traits(pixel_format: str) -> tuple[bool, bool]:
    """Whether a pixel format is RGB, and whether it has full range."""
    is_rgb = av.VideoFormat(pixel_format).is_rgb
    return is_rgb, is_rgb or pixel_format.startswith('yuvj')


def _known(number: int, default: int) -> int:
    return default if number in _UNKNOWN else int(number)


def _read_mastering(data: Any) -> Mastering | None:
    """Parse FFmpeg's AVMasteringDisplayMetadata."""
    if data is None:
        return None
    *ratios, has_primaries, has_luminance = np.frombuffer(data, np.int32)[:22].tolist()
    if not has_primaries or not has_luminance or 0 in ratios[1::2]:
        return None
    values = [Fraction(*pair) for pair in zip(ratios[::2], ratios[1::2], strict=True)]
    darkest, brightest = values[8:]
    return Mastering(tuple(values[:8]), (brightest, darkest))


def _read_light(data: Any) -> tuple[int, int] | None:
    """Parse FFmpeg's AVContentLightMetadata."""
    if data is None:
        return None
    pixel, mean = np.frombuffer(data, np.uint32)[:2].tolist()
    return pixel, mean
