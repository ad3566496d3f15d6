import pytest
import torch

from fmanet_mm.utils.weights import check_weights


def test_ordinary_weights_pass():
    check_weights({'a.weight': torch.zeros(2), 'steps': torch.tensor(3)}, 'net.pt')


@pytest.mark.parametrize(
    ('weights', 'message'),
    [
        ([], 'net.pt must be a dict of weights by name, got a list'),
        ({7: torch.zeros(2)}, 'net.pt must hold .* under 7 it has torch.float32'),
        ({'a': None}, "under 'a' it has NoneType"),
        ({'a': torch.eye(2).to_sparse()}, "under 'a' it has .*torch.sparse_coo"),
        ({'a': torch.zeros(2, dtype=torch.complex64)}, "under 'a' .*complex64"),
        ({'a': torch.zeros(2, device='meta')}, "under 'a' .* device meta"),
    ],
)
def test_others_are_named(weights, message):
    with pytest.raises(ValueError, match=message):
        check_weights(weights, 'net.pt')
