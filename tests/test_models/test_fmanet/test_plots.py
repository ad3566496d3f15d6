import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from fmanet_mm.models.fmanet import plots
from fmanet_mm.models.fmanet.plots import plot_features, plot_flows, plot_kernels


@pytest.fixture
def window():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(3, 3, 12, 16, generator=generator)


@pytest.fixture
def drawn(monkeypatch):
    """The axes of the figure, in their order, instead of a file."""
    figures = []
    monkeypatch.setattr(plots, 'save_figure', lambda figure, _: figures.append(figure))
    yield lambda: figures[-1].axes
    plt.close('all')


def shown(axis):
    return np.asarray(axis.images[0].get_array())


def test_kernels_are_those_of_the_marked_pixels(model, window, drawn):
    plot_kernels(model, window, 'unused')
    axes = drawn()
    assert len(axes) == 3 * 4
    with torch.no_grad():
        degradation = model.net_d(window[None])
        kernels = model.net_d.kernels(degradation.kernel_feature)[0]
    for row in range(3):
        picture, *maps = axes[4 * row : 4 * row + 4]
        np.testing.assert_array_equal(shown(picture), window[1].permute(1, 2, 0))
        ((x,), (y,)) = picture.lines[0].get_data()
        expected = kernels[:, :, y, x].flatten().softmax(0).view(3, -1)
        for axis, taps in zip(maps, expected, strict=True):
            np.testing.assert_allclose(shown(axis).ravel(), taps, rtol=1e-6)
        assert f'{100 * expected[2].sum():.0f} %' in maps[2].get_title()


def test_pixels_are_sorted_by_their_motion(model, window, drawn):
    plot_kernels(model, window, 'unused')
    moves = [float(axis.get_title().split()[1]) for axis in drawn()[::4]]
    assert moves[1] >= moves[2]


def test_flows_and_masks_are_the_learned_ones(model, window, drawn):
    plot_flows(model, window, 'unused')
    axes = drawn()
    n = model.net_d.num_flows
    assert len(axes) == 2 * (3 + n)
    with torch.no_grad():
        flow_masks = model.net_d(window[None]).flow_masks
        image = model.net_d.image_flow_mask(flow_masks)[0]
    after = axes[3 + n :]
    assert after[0].get_title() == 'frame +1'
    longest = image[2, :2].norm(dim=0).max()
    assert after[1].get_title() == f'learned flow, up to {longest:.1f} px'
    np.testing.assert_allclose(shown(after[2]), image[2, 2].sigmoid(), rtol=1e-6)
    longest = flow_masks[0, 2, 3:5].norm(dim=0).max()
    assert after[4].get_title() == f'of features, 2, up to {longest:.1f} px'


def test_true_flow_is_drawn_beside(model, window, drawn):
    true_flow = torch.zeros(3, 2, 12, 16)
    true_flow[2, 0, 5, 5], true_flow[2, 1, 5, 5] = 3, 4
    plot_flows(model, window, 'unused', true_flow)
    titles = [axis.get_title() for axis in drawn()]
    columns = 4 + model.net_d.num_flows
    assert titles[1] == 'true flow, up to 0.0 px'
    assert titles[columns + 1] == 'true flow, up to 5.0 px'


def test_features_of_two_models_are_drawn_block_by_block(model, window, drawn):
    plot_features({'a': model, 'b': model}, window, 'unused')
    axes = drawn()
    with torch.no_grad():
        levels = list(model.net_d.encode(window[1:2]))
        of_net_r = list(model.net_r.encode(window[1:2], levels[-1]))
    columns = len(levels)
    assert len(axes) == 4 * columns
    for row, (name, features) in enumerate(
        {'NetD, a': levels, 'NetR, a': of_net_r, 'NetD, b': levels}.items()
    ):
        for axis, feature in zip(axes[columns * row :], features, strict=False):
            assert axis.get_title().startswith(f'{name}: ')
            np.testing.assert_allclose(shown(axis), feature[0].abs().mean(0), rtol=1e-6)


def test_a_picture_is_written_below_a_new_folder(model, window, tmp_path):
    path = tmp_path / 'new' / 'kernels.png'
    plot_kernels(model, window, path)
    assert plt.imread(path).shape == (900, 1200, 4)
