"""How RGB and the YUV of video files become each other."""

from typing import NamedTuple

import av
import cv2
import numpy as np
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    Interpolation,
    VideoReformatter,
)

# Without these flags, swscale is up to 2 of 255 levels off even where colour is flat.
_EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
_MATRIX_RGB = 0  # AVCOL_SPC_RGB; PyAV names only swscale's own numbers.
_MATRIX_BT709 = 1  # AVCOL_SPC_BT709
_MATRIX_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
_MATRIX_BT601 = 5  # AVCOL_SPC_BT470BG
# What swscale takes for white in RGB of 16 bits on the way to YUV.
_SWSCALE_WHITE = 255 << 8
_MAX_SD_HEIGHT = 576


class Orientation(NamedTuple):
    """How a decoded picture is turned upright: transposed first, then mirrored.

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
        """Read it from the display matrix; other angles go to the nearest quarter."""
        matrix = frame.side_data.get('DISPLAYMATRIX')
        if matrix is None:
            return cls(False, False, False)
        # (x, y) of the picture is shown at (x * x_to_x + y * y_to_x, ...).
        x_to_x, x_to_y, _, y_to_x, y_to_y = np.frombuffer(matrix, np.int32)[:5].tolist()
        if abs(x_to_y) + abs(y_to_x) > abs(x_to_x) + abs(y_to_y):
            return cls(True, y_to_x < 0, x_to_y < 0)
        return cls(False, x_to_x < 0, y_to_y < 0)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Turn (H, W, C), without a copy."""
        if self.transpose:
            image = image.transpose(1, 0, 2)
        return image[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1]


def to_rgb(
    frame: av.VideoFrame,
    reformatter: VideoReformatter,
    dtype: np.dtype | type = np.uint8,
) -> np.ndarray:
    """Convert a decoded frame to RGB.

    Range and YUV matrix are those that the frame names. A frame that does not name its
    matrix is taken for BT.601 up to 576 rows and for BT.709 above, as video players do.

    Args:
        frame (av.VideoFrame): Of any pixel format.
        reformatter (VideoReformatter): Kept from frame to frame, to save its set-up.
        dtype (np.dtype | type): uint8, or uint16 that spans 0 to 65535.

    Returns:
        np.ndarray: (H, W, 3), turned upright.

    Raises:
        FFmpegError: If swscale has no conversion from its matrix.
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


def is_hd(height: int) -> bool:
    """Whether frames that do not name their matrix are taken for BT.709."""
    return height > _MAX_SD_HEIGHT


def depth(pixel_format: av.VideoFormat) -> int:
    """Bits per sample."""
    return max(component.bits for component in pixel_format.components)


def _deep_white(frame: av.VideoFrame) -> int:
    """What swscale makes of white in 16 bits, which is less than 65535."""
    if frame.format.is_rgb:
        return 65535
    is_grey = len(frame.format.components) < 3
    if is_grey or frame.color_range == ColorRange.JPEG:
        bits = depth(frame.format)
        return ((1 << bits) - 1) << (16 - bits)
    return 65283


def _rescale(image: np.ndarray, white: int, dtype: np.dtype | type) -> np.ndarray:
    """Map 0 to ``white`` to the whole range of a type, with rounding."""
    if dtype == np.uint8:
        return cv2.convertScaleAbs(image, alpha=255 / white)
    return cv2.addWeighted(image, 65535 / white, image, 0, 0)


def from_rgb(
    image: np.ndarray,
    pixel_format: str,
    reformatter: VideoReformatter,
    is_bt709: bool = True,
) -> av.VideoFrame:
    """Convert RGB to the colours of a video file.

    Args:
        image (np.ndarray): (H, W, 3), uint8, or uint16 that spans 0 to 65535.
        pixel_format (str): FFmpeg's name.
        reformatter (VideoReformatter): Kept from frame to frame, to save its set-up.
        is_bt709 (bool): Whether YUV is of BT.709, else of BT.601.

    Returns:
        VideoFrame: YUV in limited range; in full range where the format (``yuvj...``)
        says so, and RGB if the format is of RGB.
    """
    is_rgb, is_full = _traits(pixel_format)
    if image.dtype == np.uint16 and not is_rgb:
        image = cv2.addWeighted(image, _SWSCALE_WHITE / 65535, image, 0, 0)
    matrix = Colorspace.ITU709 if is_bt709 else Colorspace.ITU601
    return reformatter.reformat(
        av.VideoFrame.from_ndarray(
            np.ascontiguousarray(image),
            'rgb24' if image.dtype == np.uint8 else 'rgb48le',
        ),
        format=pixel_format,
        dst_colorspace=None if is_rgb else matrix,
        dst_color_range=ColorRange.JPEG if is_full else ColorRange.MPEG,
        interpolation=_EXACT,
    )


def tag_colours(context: av.VideoCodecContext, is_bt709: bool = True) -> None:
    """Let a video file say that its frames come from :func:`from_rgb`."""
    is_rgb, is_full = _traits(context.pix_fmt)
    matrix = _MATRIX_BT709 if is_bt709 else _MATRIX_BT601
    context.colorspace = _MATRIX_RGB if is_rgb else matrix
    context.color_range = ColorRange.JPEG if is_full else ColorRange.MPEG
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709


def _traits(pixel_format: str) -> tuple[bool, bool]:
    """Whether a pixel format is of RGB, and whether of full range."""
    is_rgb = av.VideoFormat(pixel_format).is_rgb
    return is_rgb, is_rgb or pixel_format.startswith('yuvj')
