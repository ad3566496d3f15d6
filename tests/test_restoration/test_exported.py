import io
import pickle
import sys
import zipfile

import pytest
import torch

from fmanet_mm.export import WindowRestorer, load_window_model
from fmanet_mm.restoration import StreamingRestorer

# Exporting to ONNX takes a minute of computing.
pytestmark = pytest.mark.timeout(900)

SUFFIXES = ('.safetensors', '.pt2', '.onnx')


@pytest.fixture(params=SUFFIXES, scope='module')
def window_model(request, exported):
    return load_window_model(exported(request.param), trusted=True)


@pytest.mark.parametrize('size', [(8, 8), (24, 32), (11, 70), (65, 9)])
@torch.no_grad()
def test_gives_what_the_network_gives_at_any_size(model, window_model, size):
    window = torch.rand(1, 3, 3, *size)
    assert (window_model.num_frames, window_model.scale) == (3, 2)
    expected = model(window, mode='tensor')
    given = window_model(window)
    assert given.shape == (1, 3, 2 * size[0], 2 * size[1])
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.01  # an error of 1e-5 would be one


def test_restores_clips_as_the_stream_does(model, window_model):
    restorer = WindowRestorer(window_model)
    for length in (1, 2, 4):
        clip = torch.rand(length, 3, 9, 13)
        expected = list(StreamingRestorer(model).restore(clip))
        given = list(restorer.restore(clip))
        torch.testing.assert_close(given, expected, rtol=0, atol=1e-5)
    assert list(restorer.restore([])) == []


def test_frames_must_fit_each_other(exported):
    restorer = WindowRestorer(load_window_model(exported('.safetensors')))
    frames = [torch.rand(3, 9, 13), torch.rand(3, 9, 14)]
    with pytest.raises(ValueError, match=r'frame 1 is \(3, 9, 14\)'):
        list(restorer.restore(frames))


@pytest.mark.parametrize(
    'window',
    [
        torch.rand(1, 5, 3, 8, 8),
        torch.rand(2, 3, 3, 8, 8),
        torch.rand(3, 3, 8, 8),
        torch.rand(1, 3, 3, 7, 8),
        torch.rand(1, 3, 3, 8, 8).half(),
    ],
)
def test_refuses_what_is_no_window(window_model, window):
    with pytest.raises(ValueError, match='expected a .*window.*got'):
        window_model(window)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match='net.pth is no exported network; those end'):
        load_window_model(tmp_path / 'net.pth')
    with pytest.raises(FileNotFoundError, match='no exported network .*net.onnx'):
        load_window_model(tmp_path / 'net.onnx')


@pytest.mark.parametrize('suffix', SUFFIXES)
@pytest.mark.parametrize('cut', [0, 1000])
def test_a_damaged_file_is_named(exported, tmp_path, suffix, cut):
    path = tmp_path / f'cut{suffix}'
    path.write_bytes(exported(suffix).read_bytes()[:cut])
    with pytest.raises(ValueError, match=f'cut{suffix}.*damaged'):
        load_window_model(path, trusted=True)


class Trap:
    """Leaves a trace when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


def test_a_pt2_file_is_not_opened_unless_trusted(exported, tmp_path):
    trap, path = tmp_path / 'trap', tmp_path / 'evil.pt2'
    inputs = io.BytesIO()
    torch.save((Trap(trap),), inputs)
    with (
        zipfile.ZipFile(exported('.pt2')) as good,
        zipfile.ZipFile(path, 'w') as evil,
    ):
        for name in good.namelist():
            is_input = 'sample_inputs' in name
            evil.writestr(name, inputs.getvalue() if is_input else good.read(name))
    with pytest.raises(ValueError, match='evil.pt2 may run code.*trusted=True'):
        load_window_model(path)
    assert not trap.exists()
    # PyTorch does run it, which is why.
    with pytest.raises(ValueError, match='evil.pt2 cannot be read'):
        load_window_model(path, trusted=True)
    assert trap.exists()


@pytest.mark.parametrize('suffix', ['.safetensors', '.onnx'])
def test_pickles_under_another_name_are_not_run(tmp_path, suffix):
    path = tmp_path / f'evil{suffix}'
    path.write_bytes(pickle.dumps(Trap(tmp_path / 'trap')))
    with pytest.raises(ValueError, match=f'evil{suffix}'):
        load_window_model(path)
    assert not (tmp_path / 'trap').exists()


def test_missing_onnx_runtime_is_named(exported, monkeypatch):
    path = exported('.onnx')
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(ImportError, match=r'pip install "fmanet_mm\[export\]"'):
        load_window_model(path)


def test_device_that_onnx_runtime_lacks_is_named(exported):
    with pytest.raises(ValueError, match='cannot use meta'):
        load_window_model(exported('.onnx'), 'meta')
