import cv2
import numpy as np
import torch

from fmanet_mm.visualization.comparison import most_improved_part, plot_comparison


def test_images_are_drawn_in_their_colours(model, tmp_path):
    blurry, sharp = (0.2, 0.6, 0.4), (0.8, 0.4, 0.2)
    window = torch.tensor(blurry)[:, None, None].expand(3, 3, 24, 32)
    truth = torch.tensor(sharp)[:, None, None].expand(3, 96, 128)
    path = tmp_path / 'new' / 'picture.png'
    plot_comparison(model, window, truth, path)
    picture = cv2.imread(str(path))[..., ::-1].reshape(-1, 3)

    def pixels(colour):
        return np.all(np.abs(picture - 255.0 * np.array(colour)) < 1.5, axis=1).sum()

    # The blurry frame and its bicubic enlargement are this colour, the truth is that.
    assert pixels(blurry) > 1.8 * pixels(sharp) > 1000


def test_the_lower_row_may_be_left_out(model, tmp_path):
    window, truth = torch.rand(3, 3, 24, 32), torch.rand(3, 96, 128)
    heights = []
    for degradation in (True, False):
        path = tmp_path / f'{degradation}.jpg'
        plot_comparison(model, window, truth, path, degradation)
        heights.append(cv2.imread(str(path)).shape[0])
    assert heights[0] - heights[1] == 260


def test_the_part_shown_is_gained_most_among_what_moves():
    """Of three improved parts, one does not move and one is gained less."""
    truth = torch.zeros(3, 64, 128)
    bicubic = truth + 0.1
    restored = bicubic.clone()
    restored[:, :16, 64:80] = 0.05
    restored[:, 32:48, 96:112] = 0.02
    restored[:, 32:48, 16:32] = 0.01
    flow = torch.zeros(3, 2, 16, 32)
    flow[0, :, :, 16:] = 2.0
    part = most_improved_part(restored, bicubic, truth, flow, size=16)
    assert part == (slice(32, 48), slice(96, 112))
    # Frames may be smaller than the part.
    part = most_improved_part(restored, bicubic, truth, flow, size=96)
    assert truth[(..., *part)].shape[1] == 64
