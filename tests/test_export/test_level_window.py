from typing import NamedTuple

import pytest
import torch
from helpers import tiny_pp_network
from torch import Tensor, nn

from fmanet_mm.export import export_network
from fmanet_mm.export.graph import LevelWindow, save_onnx
from fmanet_mm.restoration import LevelRestorer, load_network
from fmanet_mm.restoration.description import Description
from fmanet_mm.restoration.graphs import GraphRestorer, load_graph


class State(NamedTuple):
    feature: Tensor
    nothing: None = None


class Sums(nn.Module):
    """Weighs a frame and its neighbours twice."""

    num_levels = 2
    scale = 1

    def encode(self, frame, strips):
        return State(frame)

    def advance(self, level, state, previous, following, strips):
        total = 4 * state.feature + 2 * previous + following
        return state._replace(feature=total * (level + 1))

    def beyond_end(self, feature):
        return -feature

    def decode(self, state, strips):
        return state.feature


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope='module')
def network():
    sizes = dict(num_blocks=1, channels=4, num_flows=1, num_heads=1, num_dense_layers=1)
    return tiny_pp_network(**sizes)


def describe(network, **changes):
    """A description, of another network where it cannot be described itself."""
    known = Description.of(tiny_pp_network(num_blocks=1))
    values = dict(
        num_frames=2 * network.num_levels + 1, scale=network.scale, min_size=8
    )
    return Description(
        known.network, known.restorer, takes_presence=True, **values | changes
    )


@pytest.mark.parametrize('num_frames', [1, 2, 5, 8])
def test_windows_give_what_a_stream_gives_also_at_the_ends(network, num_frames):
    frames = torch.rand(num_frames, 3, 9, 12)
    graph = GraphRestorer(LevelWindow(network), describe(network), torch.device('cpu'))
    assert (graph.num_frames, graph.context) == (5, 2)
    given = list(graph.restore(frames))
    expected = list(LevelRestorer(network).restore(frames))
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-5)


def test_frames_that_are_missing_do_not_matter(network):
    window = torch.rand(1, 5, 3, 9, 12)
    present = torch.tensor([False, True, True, True, True])
    with torch.no_grad():
        expected = LevelWindow(network)(window, present)
        window[:, 0] = torch.nan
        assert LevelWindow(network)(window, present).equal(expected)


def test_all_frames_of_a_window_exist_unless_stated(network):
    window = torch.rand(1, 5, 3, 9, 12)
    graph = GraphRestorer(LevelWindow(network), describe(network), torch.device('cpu'))
    everything = torch.ones(5, dtype=torch.bool)
    assert graph(window).equal(graph(window, everything))
    missing = torch.tensor([True, True, True, False, False])
    assert not graph(window).equal(graph(window, missing))


def test_a_window_that_is_too_small_is_named(network):
    graph = GraphRestorer(
        LevelWindow(network), describe(network, min_size=16), torch.device('cpu')
    )
    with pytest.raises(ValueError, match=r'at least 16x16 pixels, got \(1, 5, 3, 9'):
        graph(torch.rand(1, 5, 3, 9, 12))


def test_onnx_reads_which_frames_exist(tmp_path):
    pytest.importorskip('onnxscript')
    pytest.importorskip('onnxruntime')
    network = Sums()
    save_onnx(network, describe(network), tmp_path / 'sums.onnx')
    graph = load_graph(tmp_path / 'sums.onnx')
    for num_frames, size in ((1, (8, 9)), (6, (11, 8))):
        frames = torch.rand(num_frames, 3, *size)
        expected = list(LevelRestorer(network).restore(frames))
        torch.testing.assert_close(list(graph.restore(frames)), expected)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_network_as_a_graph(network, tmp_path):
    assert export_network(network, tmp_path / 'network.pt2') < 1e-5
    graph = load_graph(tmp_path / 'network.pt2', trusted=True)
    frames = torch.rand(3, 3, 64, 71)
    expected = list(LevelRestorer(network).restore(frames))
    torch.testing.assert_close(list(graph.restore(frames)), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize('half', [False, True])
def test_weights_describe_the_network(network, tmp_path, half):
    path = tmp_path / 'network.safetensors'
    difference = export_network(network, path, half)
    assert difference == 0 or (half and difference < 1e-2)
    loaded = load_network(path)
    assert loaded.state_dict().keys() == network.state_dict().keys()
    description = Description.of(loaded)
    assert description.restorer == dict(type='LevelRestorer')
    assert (description.num_frames, description.takes_presence) == (5, True)
    for name, value in loaded.state_dict().items():
        own = network.state_dict()[name]
        assert own.dtype == value.dtype, name
        expected = own.half() if half and own.is_floating_point() else own
        assert value.equal(expected.to(own.dtype)), name
