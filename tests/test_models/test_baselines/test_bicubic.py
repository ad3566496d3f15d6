import numpy as np
import pytest
import torch
from PIL import Image

from fmanet_mm.models import BicubicUpsampling
from fmanet_mm.restoration.adapters import RESTORERS


def test_is_pillows_bicubic_of_the_centre_frame():
    frames = torch.rand(1, 3, 3, 12, 10)
    out = BicubicUpsampling(scale=4)(frames)
    image = Image.fromarray(frames[0, 1, 0].numpy())
    expected = np.asarray(image.resize((40, 48), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(out[0, 0].numpy(), expected, atol=1e-5)


def test_a_line_stays_a_line_inside():
    frames = torch.arange(12.0).expand(1, 1, 3, 8, 12)
    slope = BicubicUpsampling(scale=2)(frames)[0, 0].diff(dim=1)
    torch.testing.assert_close(slope[:, 6:-6], torch.full_like(slope[:, 6:-6], 0.5))


def test_frames_below_the_least_size_are_refused():
    settings = dict(type='WindowRestorer', num_frames=3, scale=2, min_size=8)
    network = BicubicUpsampling(scale=2)
    restorer = RESTORERS.build(dict(network=network, **settings))
    assert len([*restorer.restore(torch.rand(2, 3, 8, 9))]) == 2
    with pytest.raises(ValueError, match='BicubicUpsampling needs .* 8x8 .* got 9x7'):
        next(restorer.restore(torch.rand(2, 3, 7, 9)))
