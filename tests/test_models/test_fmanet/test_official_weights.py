import copy

import golden
import pytest
import torch
from mmagic.registry import MODELS
from mmengine.config import Config

from fmanet_mm.models.fmanet.official_weights import convert_files, reverse_colours


@pytest.fixture
def released(tmp_path):
    """The authors' two files and a config, of a tiny network."""
    data = golden.load('tiny_stage2')
    files = {}
    for net, prefix in (('D', golden.NET_D), ('R', golden.NET_R)):
        files[net] = tmp_path / f'model_{net}_best.pt'
        torch.save({f'model_{net}_state_dict': golden.part(data, prefix)}, files[net])
    model = dict(
        type='FMANet',
        net_d=dict(type='NetD', **golden.net_d_config(data)),
        net_r=dict(type='NetR', **golden.net_r_config(data)),
    )
    config = tmp_path / 'tiny.py'
    Config(dict(model=model)).dump(config)
    return files, config


def restore(config, checkpoint, x):
    model = MODELS.build(Config.fromfile(config).model).eval()
    model.load_state_dict(torch.load(checkpoint, weights_only=True)['state_dict'])
    with torch.no_grad():
        return model(x)


def test_bgr_gives_the_authors_output_and_rgb_the_flipped_one(released, tmp_path):
    files, config = released
    data = golden.load('tiny_stage2')
    x = golden.frames(data['x'])
    bgr, rgb = tmp_path / 'bgr.pth', tmp_path / 'rgb.pth'
    convert_files(config, files['D'], files['R'], bgr, 'bgr')
    convert_files(config, files['D'], files['R'], rgb)
    authors = restore(config, bgr, x)
    torch.testing.assert_close(authors, data['outputs']['output'], rtol=0, atol=1e-4)
    flipped = restore(config, rgb, x.flip(2)).flip(1)
    torch.testing.assert_close(flipped, authors, rtol=0, atol=1e-5)
    unconverted = restore(config, bgr, x.flip(2)).flip(1)
    assert (unconverted - authors).abs().max() > 1e-2, 'colour order must matter'


def test_reversing_twice_is_the_identity():
    data = golden.load('tiny_stage2')
    state = {
        f'{name}.{key}': value
        for name, net in (
            ('net_d', golden.build_net_d(data)),
            ('net_r', golden.build_net_r(data)),
        )
        for key, value in net.state_dict().items()
    }
    original = copy.deepcopy(state)
    once = reverse_colours(state)
    assert sum(not torch.equal(once[k], original[k]) for k in state) == 6
    twice = reverse_colours(once)
    assert all(torch.equal(twice[k], original[k]) for k in original)
    assert all(torch.equal(state[k], original[k]) for k in original)


def test_leftover_missing_and_misfit_are_refused(released, tmp_path):
    files, config = released
    out = tmp_path / 'out.pth'
    key = 'model_D_state_dict'
    good = torch.load(files['D'], weights_only=True)[key]
    name = 'a_conv.0.weight'
    for bad, message in (
        (good | {'extra.weight': torch.zeros(1)}, 'model .net_d.extra.weight'),
        ({k: v for k, v in good.items() if k != name}, 'missing .net_d.anchor_head.0'),
        (good | {name: good[name][:2]}, 'another shape .net_d.anchor_head.0'),
    ):
        torch.save({key: bad}, files['D'])
        with pytest.raises(ValueError, match=message) as error:
            convert_files(config, files['D'], files['R'], out)
        assert str(files['D']) in str(error.value)
    assert not out.exists()


def test_other_files_are_named(released, tmp_path):
    files, config = released
    with pytest.raises(ValueError, match="model_R_best.pt has no 'model_D_state_dict'"):
        convert_files(config, files['R'], None, tmp_path / 'out.pth')
    with pytest.raises(FileNotFoundError, match='nowhere.pt'):
        convert_files(config, tmp_path / 'nowhere.pt', None, tmp_path / 'out.pth')


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


def test_a_pickle_that_runs_code_is_refused(released, tmp_path):
    _, config = released
    evil, trace = tmp_path / 'evil.pt', tmp_path / 'trace'
    torch.save({'model_D_state_dict': Malicious(trace)}, evil)
    with pytest.raises(ValueError, match='evil.pt is not a checkpoint'):
        convert_files(config, evil, None, tmp_path / 'out.pth')
    assert not trace.exists()
