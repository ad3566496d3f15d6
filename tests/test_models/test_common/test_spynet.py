import pytest
import torch
from mmagic.models.editors.basicvsr.basicvsr_net import SPyNet as MMagicSPyNet

from fmanet_mm.models.common.spynet import SPyNet


@pytest.fixture
def theirs():
    torch.manual_seed(0)
    network = MMagicSPyNet(pretrained=None)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(1.5)  # flows of some pixels
    return network


@torch.no_grad()
@pytest.mark.parametrize('size', [(32, 64), (37, 45), (3, 2)])
def test_flow_is_mmagics_with_its_file(theirs, tmp_path, size):
    torch.save(dict(state_dict=theirs.state_dict()), tmp_path / 'mmagic.pth')
    ours = SPyNet(tmp_path / 'mmagic.pth').double()
    images = torch.rand(2, 2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(ours(*images), theirs.double()(*images))


def test_files_that_number_all_layers_are_read(theirs, tmp_path):
    weights = theirs.state_dict()
    numbered = {}
    for name, weight in weights.items():
        if '.conv.' in name:
            level, conv, kind = (name.split('.')[n] for n in (1, 3, 5))
            name = f'basic_module.{level}.basic_module.{2 * int(conv)}.{kind}'
        numbered[name] = weight
    torch.save(dict(params=numbered), tmp_path / 'numbered.pth')
    torch.save(weights, tmp_path / 'mmagic.pth')
    given, expected = (
        SPyNet(tmp_path / f'{name}.pth').state_dict() for name in ('numbered', 'mmagic')
    )
    torch.testing.assert_close(given, expected, rtol=0, atol=0)
    assert sum(weight.numel() for weight in given.values()) == 1_440_300


def test_missing_and_other_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no SPyNet weights .*nowhere.pth'):
        SPyNet(tmp_path / 'nowhere.pth')
    torch.save(dict(weight=torch.zeros(1)), tmp_path / 'other.pth')
    with pytest.raises(
        ValueError, match='other.pth holds no weights of SPyNet: 60 mis'
    ):
        SPyNet(tmp_path / 'other.pth')
