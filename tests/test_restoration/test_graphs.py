import io
import pickle
import sys
import zipfile

import pytest
import torch
from helpers import tiny_network

from fmanet_mm.export import export_network
from fmanet_mm.restoration import StreamingRestorer, load_network
from fmanet_mm.restoration.graphs import load_graph

# Exporting to ONNX takes a minute of computing.
pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]

SUFFIXES = ('.pt2', '.onnx')


@pytest.fixture(scope='module')
def model():
    # Exporting takes long.
    return tiny_network(channels=12, num_blocks=1)


@pytest.fixture(scope='module')
def exported(model, tmp_path_factory):
    """Exports the network, once to each format."""
    folder = tmp_path_factory.mktemp('exported')

    def export(suffix):
        path = folder / f'network{suffix}'
        if not path.exists():
            export_network(model, path)
        return path

    return export


@pytest.fixture(params=SUFFIXES, scope='module')
def graph(request, exported):
    return load_graph(exported(request.param), trusted=True)


@pytest.mark.parametrize('size', [(8, 8), (24, 32), (11, 70), (65, 9)])
@torch.no_grad()
def test_gives_what_the_network_gives_at_any_size(model, graph, size):
    window = torch.rand(1, 3, 3, *size)
    assert (graph.num_frames, graph.context, graph.scale) == (3, 1, 2)
    assert graph.peak_bytes(*size) is None
    expected = model(window)
    given = graph(window)
    assert given.shape == (1, 3, 2 * size[0], 2 * size[1])
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.01  # an error of 1e-5 would be one


def test_weights_give_exactly_what_the_network_gives(model, exported):
    window = torch.rand(1, 3, 3, 11, 70)
    loaded = load_network(exported('.safetensors'))
    with torch.no_grad():
        assert torch.equal(loaded(window), model(window))


def test_restores_clips_as_the_stream_does(model, graph):
    for length in (1, 2, 4):
        clip = torch.rand(length, 3, 9, 13)
        expected = list(StreamingRestorer(model).restore(clip))
        given = list(graph.restore(clip))
        torch.testing.assert_close(given, expected, rtol=0, atol=1e-5)
    assert list(graph.restore([])) == []


def test_frames_must_fit_each_other(graph):
    frames = [torch.rand(3, 9, 13), torch.rand(3, 9, 14)]
    with pytest.raises(ValueError, match=r'frame 1 is \(3, 9, 14\)'):
        list(graph.restore(frames))


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
def test_refuses_what_is_no_window(graph, window):
    with pytest.raises(ValueError, match='expected a .*window.*got'):
        graph(window)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match='net.pth is no exported graph; those end'):
        load_graph(tmp_path / 'net.pth')
    with pytest.raises(FileNotFoundError, match='no exported network .*net.onnx'):
        load_graph(tmp_path / 'net.onnx')


@pytest.mark.parametrize('suffix', ['.safetensors', *SUFFIXES])
@pytest.mark.parametrize('cut', [0, 1000])
def test_a_damaged_file_is_named(exported, tmp_path, suffix, cut):
    path = tmp_path / f'cut{suffix}'
    path.write_bytes(exported(suffix).read_bytes()[:cut])
    with pytest.raises(ValueError, match=f'cut{suffix}.*damaged'):
        if suffix == '.safetensors':
            load_network(path)
        else:
            load_graph(path, trusted=True)


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
        load_graph(path)
    assert not trap.exists()
    # PyTorch does run it, which is why.
    with pytest.raises(ValueError, match='evil.pt2 cannot be read'):
        load_graph(path, trusted=True)
    assert trap.exists()


@pytest.mark.parametrize('suffix', ['.safetensors', '.onnx'])
def test_pickles_under_another_name_are_not_run(tmp_path, suffix):
    path = tmp_path / f'evil{suffix}'
    path.write_bytes(pickle.dumps(Trap(tmp_path / 'trap')))
    with pytest.raises(ValueError, match=f'evil{suffix}'):
        load_network(path) if suffix == '.safetensors' else load_graph(path)
    assert not (tmp_path / 'trap').exists()


def test_missing_onnx_runtime_is_named(exported, monkeypatch):
    path = exported('.onnx')
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(ImportError, match=r'pip install "fmanet_mm\[export\]"'):
        load_graph(path)


def test_device_that_onnx_runtime_lacks_is_named(exported):
    with pytest.raises(ValueError, match='cannot use meta'):
        load_graph(exported('.onnx'), 'meta')
