import cv2
import numpy as np
import torch
from test_cli.conftest import moving_image

from fmanet_mm.cli.comparison import learned_degradation
from fmanet_mm.restoration.images import to_tensor


def learn(model, window):
    """Flow and kernels of all pixels."""
    frames = torch.stack([to_tensor(image) for image in window]).unsqueeze(0)
    with torch.inference_mode():
        degradation = model.net_d(frames)
        flow = model.net_d.image_flow_mask(degradation.flow_masks)[0, :, :2]
        return flow.numpy(), degradation.kernels[0]


def test_shows_the_flow_and_the_kernels_of_what_moves_most(make_model):
    model = make_model()
    for seed in range(6):  # the place differs, and may be at the border
        window = [moving_image(3 * seed + index, (9, 12)) for index in range(3)]
        expected_flow, every_kernel = learn(model, window)
        flow, kernels = learned_degradation(model, window)
        np.testing.assert_allclose(flow.transpose(0, 3, 1, 2), expected_flow, atol=1e-6)
        length = np.linalg.norm(flow, axis=-1).max(0)
        smooth = cv2.blur(length, (9, 9), borderType=cv2.BORDER_CONSTANT)
        y, x = divmod(smooth.argmax(), 12)
        taps = every_kernel[:, :, y, x].flatten().softmax(0).view(3, 6, 6)
        np.testing.assert_allclose(kernels, taps.numpy(), atol=1e-6)
        assert abs(kernels.sum() - 1) < 1e-5
