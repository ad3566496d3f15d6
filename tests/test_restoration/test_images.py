import numpy as np
import torch

from fmanet_mm.restoration.images import shrink, to_image, to_tensor


def test_images_and_tensors_become_each_other():
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3) * 4
    tensor = to_tensor(image, dtype=torch.float64)
    assert tensor.dtype == torch.float64
    assert tensor.shape == (3, 4, 5)
    assert tensor[2, 1, 3] == image[1, 3, 2] / 255
    np.testing.assert_array_equal(to_image(tensor), image)


def test_images_are_rounded_and_clipped():
    tensor = torch.tensor([-1.0, 0.4 / 255, 0.6 / 255, 2.0]).expand(3, 1, 4)
    assert to_image(tensor)[0, :, 0].tolist() == [0, 0, 1, 255]


def test_images_of_16_bits_keep_them():
    image = np.arange(0, 65536, 1093, np.uint16).reshape(4, 5, 3)
    tensor = to_tensor(image, dtype=torch.float64)
    assert tensor[2, 1, 3] == image[1, 3, 2] / 65535
    np.testing.assert_array_equal(to_image(tensor, np.uint16), image)


def test_shrinking_averages_areas():
    frame = torch.arange(8.0).view(1, 2, 4).expand(3, 2, 4)
    assert shrink(frame, 1, 2).tolist() == 3 * [[[2.5, 4.5]]]
