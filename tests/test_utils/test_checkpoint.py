import os
import pickle
import zipfile
from functools import partial

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from safetensors.torch import save_file

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


def rename_globals(file, renamed, old, new):
    """Copy a checkpoint, with the name of a module in its pickle replaced."""
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(renamed, 'w') as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith('data.pkl'):
                assert old in content
                content = content.replace(old, new)
            target.writestr(name, content)


@pytest.mark.parametrize('written_under', [b'cnumpy.core.', b'cnumpy._core.'])
def test_files_of_numpy_1_and_2_can_be_read(tmp_path, written_under):
    file, renamed = tmp_path / 'here.pth', tmp_path / 'there.pth'
    values = dict(array=np.arange(3.0), scalar=np.float64(0.5))
    torch.save(dict(state_dict={}, meta=values), file)
    here = np.empty(0).__reduce__()[0].__module__.removesuffix('multiarray').encode()
    rename_globals(file, renamed, b'c' + here, written_under)
    read = load_checkpoint_file(renamed)['meta']
    assert read['scalar'] == 0.5 and np.array_equal(read['array'], values['array'])


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


def test_safetensors_files_can_be_read(tmp_path):
    weights = dict(weight=torch.arange(3.0), bias=torch.ones(()))
    file = tmp_path / 'bare.safetensors'
    save_file(weights, file)
    assert load_state_dict_file(file).keys() == weights.keys()
    assert torch.equal(load_state_dict_file(file)['weight'], weights['weight'])
    unnamed = file.with_suffix('.tmp')
    unnamed.write_bytes(file.read_bytes())
    assert load_checkpoint_file(unnamed)['state_dict'].keys() == weights.keys()
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(ValueError, match='bare.safetensors is not a safetensors file'):
        load_state_dict_file(file)
    with pytest.raises(FileNotFoundError, match='nowhere.safetensors'):
        load_state_dict_file(tmp_path / 'nowhere.safetensors')


class Reduced:
    """Is pickled as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


TRAPS = {
    'open': lambda path: Reduced(open, path, 'w'),
    'os.system': lambda path: Reduced(os.system, f'touch {path}'),
    'eval': lambda path: Reduced(eval, f'open({path!r}, "w")'),
    'exec': lambda path: Reduced(exec, f'open({path!r}, "w")'),
    # A checkpoint of MMEngine names getattr, which leads to everything.
    'getattr': lambda path: Reduced(getattr, Reduced(open, path, 'w'), '__class__'),
    'numpy': lambda path: np.array([Reduced(open, path, 'w')], dtype=object),
    'partial': lambda path: Reduced(partial(open, path, 'w')),
}


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('trap', TRAPS)
def test_a_malicious_checkpoint_is_refused_and_not_run(tmp_path, trap, zipped):
    path, file = tmp_path / 'trap', tmp_path / 'evil.pth'
    checkpoint = dict(
        state_dict=dict(weight=torch.ones(1)), meta=TRAPS[trap](str(path))
    )
    torch.save(checkpoint, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match='evil.pth is not a checkpoint.* safely'):
        load_state_dict_file(file)
    assert not path.exists()
    # The trap works: so it is when it is read without care.
    torch.load(file, weights_only=False)
    assert path.exists()


def test_a_malicious_plain_pickle_is_refused_and_not_run(tmp_path):
    path, file = tmp_path / 'trap', tmp_path / 'evil.pth'
    file.write_bytes(pickle.dumps(TRAPS['open'](str(path))))
    with pytest.raises(ValueError, match='evil.pth is not a checkpoint'):
        load_state_dict_file(file)
    assert not path.exists()
