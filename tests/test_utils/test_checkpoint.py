import pytest
import torch
from mmengine.logging import MessageHub

from fmanet_mm.utils.checkpoint import (
    load_checkpoint_file,
    load_state_dict_file,
    save_checkpoint_file,
)


def test_a_runners_checkpoint_can_be_read(tmp_path):
    hub = MessageHub('test_checkpoint')
    hub.update_scalar('train/loss', 0.5)
    weights = dict(weight=torch.arange(3.0))
    file = tmp_path / 'iter_1.pth'
    torch.save(
        dict(state_dict=weights, message_hub=hub.state_dict(), meta=dict(iter=1)), file
    )
    assert load_checkpoint_file(file)['meta'] == dict(iter=1)
    assert torch.equal(load_state_dict_file(file)['weight'], weights['weight'])
    # Reading a checkpoint in the middle of a training leaves its log alone.
    assert hub.get_scalar('train/loss').statistics('mean') == 0.5


def test_a_bare_state_dict_can_be_read(tmp_path):
    save_checkpoint_file(dict(weight=torch.ones(2)), tmp_path / 'new' / 'bare.pth')
    state_dict = load_state_dict_file(tmp_path / 'new' / 'bare.pth')
    assert torch.equal(state_dict['weight'], torch.ones(2))
    assert [f.name for f in (tmp_path / 'new').iterdir()] == ['bare.pth']


@pytest.mark.parametrize('content', [b'', b'not a checkpoint'])
def test_a_damaged_file_is_named(tmp_path, content):
    file = tmp_path / 'broken.pth'
    file.write_bytes(content)
    with pytest.raises(ValueError, match='broken.pth'):
        load_checkpoint_file(file)


def test_a_truncated_file_is_named(tmp_path):
    file = tmp_path / 'cut.pth'
    save_checkpoint_file(dict(weight=torch.ones(1000)), file)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ValueError, match='cut.pth'):
        load_checkpoint_file(file)


def test_what_is_no_dict_is_refused(tmp_path):
    torch.save(torch.ones(1), tmp_path / 'tensor.pth')
    with pytest.raises(ValueError, match='holds a Tensor'):
        load_checkpoint_file(tmp_path / 'tensor.pth')


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(AttributeError):
        save_checkpoint_file(dict(f=lambda: None), tmp_path / 'out.pth')
    assert not list(tmp_path.iterdir())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        load_checkpoint_file(tmp_path / 'nowhere.pth')
