import cv2
import numpy as np
import torch
from helpers import moving_images, tiny_network

from fmanet_mm.cli.comparison import estimate_degradation
from fmanet_mm.restoration.images import to_tensor


def learn(model, window):
    """Flow and kernels of all pixels."""
    frames = torch.stack([to_tensor(image) for image in window]).unsqueeze(0)
    with torch.inference_mode():
        degradation = model.net_d(frames)
        flow = model.net_d.image_flow_mask(degradation.flow_masks)[0, :, :2]
        kernels = model.net_d.kernels(degradation.kernel_feature)
        return flow.numpy(), kernels[0]


def test_shows_the_flow_and_the_kernels_of_what_moves_most():
    model = tiny_network()
    for seed in range(6):  # the place differs, and may be at the border
        window = moving_images(3 * seed + 3, (9, 12))[-3:]
        expected_flow, every_kernel = learn(model, window)
        flow, kernels = estimate_degradation(model, window, torch.device('cpu'))
        np.testing.assert_allclose(flow.transpose(0, 3, 1, 2), expected_flow, atol=1e-6)
        length = np.linalg.norm(flow, axis=-1).max(0)
        smooth = cv2.blur(length, (9, 9), borderType=cv2.BORDER_CONSTANT)
        y, x = divmod(smooth.argmax(), 12)
        taps = every_kernel[:, :, y, x].flatten().softmax(0).view(3, 6, 6)
        np.testing.assert_allclose(kernels, taps.numpy(), atol=1e-6)
        assert abs(kernels.sum() - 1) < 1e-5
