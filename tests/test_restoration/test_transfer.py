import numpy as np
import pytest
import torch
from helpers import noise_images

from fmanet_mm.restoration.transfer import Transfers

CUDA = pytest.param(
    'cuda:0',
    marks=pytest.mark.skipif(
        not torch.cuda.is_available(), reason='there is no CUDA device'
    ),
)


@pytest.fixture(params=['cpu', CUDA])
def device(request):
    return torch.device(request.param)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_frames_arrive_as_they_are_sent(device, dtype):
    transfers = Transfers(device)
    images = noise_images(6, dtype=dtype)
    begun = [transfers.upload(image) for image in images]
    for image, upload in zip(images, begun, strict=True):
        tensor = upload()
        assert tensor.device == device
        assert tensor.dtype == torch.float32
        exact = image.transpose(2, 0, 1) / np.float64(np.iinfo(dtype).max)
        assert np.abs(tensor.cpu().double().numpy() - exact).max() < 1e-7


def test_frames_need_not_be_contiguous(device):
    transfers = Transfers(device)
    (image,) = noise_images(1)
    tensor = transfers.upload(image[::-1, ::2])()
    sent = torch.from_numpy(image[::-1, ::2].copy())
    torch.testing.assert_close(tensor.cpu() * 255, sent.permute(2, 0, 1).float())


def test_results_are_copied_while_the_next_are_computed(device):
    transfers = Transfers(device)
    begun, factor = [], torch.eye(300, device=device)
    for number in range(5):
        result = torch.full((300, 300), float(number), device=device)
        for _ in range(20):
            result = result @ factor  # takes longer than beginning to copy
        begun.append(transfers.download(result.T, result.sum()))
    for number, finish in enumerate(begun):
        copy, total = finish()
        assert copy.device.type == 'cpu'
        assert (copy == number).all()
        assert total == number * 300 * 300
