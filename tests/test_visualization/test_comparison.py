import cv2
import numpy as np
import torch

from fmanet_mm.visualization.comparison import plot_comparison


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
