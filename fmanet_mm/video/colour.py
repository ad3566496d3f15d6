"""How RGB and the YUV of video files become each other."""

import av
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
_MATRIX_BT709 = 1  # AVCOL_SPC_BT709; PyAV names only swscale's own numbers.
_MATRIX_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
_MAX_SD_HEIGHT = 576


def to_rgb(frame: av.VideoFrame, reformatter: VideoReformatter) -> np.ndarray:
    """Convert a decoded frame to RGB.

    A frame that does not name its YUV matrix is taken for BT.601 up to 576 rows and for
    BT.709 above, as video players do.

    Args:
        frame (av.VideoFrame): Of any pixel format.
        reformatter (VideoReformatter): Kept from frame to frame, to save its set-up.

    Returns:
        np.ndarray: (H, W, 3), uint8, turned upright.
    """
    guess_bt709 = (
        frame.colorspace == _MATRIX_UNSPECIFIED and frame.height > _MAX_SD_HEIGHT
    )
    rgb = reformatter.reformat(
        frame,
        format='rgb24',
        src_colorspace=Colorspace.ITU709 if guess_bt709 else None,
        interpolation=_EXACT,
    )
    upright = np.rot90(rgb.to_ndarray(), round(frame.rotation / 90))
    return np.ascontiguousarray(upright)


def from_rgb(
    image: np.ndarray, pixel_format: str, reformatter: VideoReformatter
) -> av.VideoFrame:
    """Convert (H, W, 3) uint8 RGB to YUV, BT.709 in limited range."""
    return reformatter.reformat(
        av.VideoFrame.from_ndarray(np.ascontiguousarray(image), 'rgb24'),
        format=pixel_format,
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=_EXACT,
    )


def tag_bt709(context: av.VideoCodecContext) -> None:
    """Let a video file say that its frames come from :func:`from_rgb`."""
    context.colorspace = _MATRIX_BT709
    context.color_range = ColorRange.MPEG
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709
