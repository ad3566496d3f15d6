import numpy as np
import pytest

from fmanet_mm.video.frames import check_image


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_frames_pass(dtype):
    check_image(np.zeros((4, 6, 3), dtype), 'frame 0')
    check_image(np.zeros((4, 6, 3), dtype), 'frame 1', (4, 6))


@pytest.mark.parametrize(
    ('shape', 'dtype'),
    [((4, 6, 3), float), ((4, 6), np.uint8), ((4, 6, 4), np.uint16)],
)
def test_other_arrays_are_named(shape, dtype):
    with pytest.raises(
        ValueError, match=r'frame 7 must be \(H, W, 3\) uint8 or uint16'
    ):
        check_image(np.zeros(shape, dtype), 'frame 7')


def test_another_size_is_named():
    message = r'frame 7 has \(H, W\) = \(4, 6\), the frames before it have \(4, 4\)'
    with pytest.raises(ValueError, match=message):
        check_image(np.zeros((4, 6, 3), np.uint8), 'frame 7', (4, 4))
