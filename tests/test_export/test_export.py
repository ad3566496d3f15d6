import runpy
import sys
from pathlib import Path

import pytest
import torch
from helpers import tiny_config, tiny_network

from fmanet_mm.export import export_network
from fmanet_mm.export.network import SAVERS
from fmanet_mm.export.safetensors import save_safetensors
from fmanet_mm.restoration import load_network
from fmanet_mm.restoration.loading import build_network

TOOL = Path(__file__).parents[2] / 'tools/deployment/export.py'


@pytest.fixture
def model():
    return tiny_network()


def test_an_export_that_differs_is_not_kept(model, tmp_path, monkeypatch):
    def save_another(model, description, path):
        model = tiny_network()
        with torch.no_grad():
            model.net_r.high_frequency_head.conv_last.weight += 0.01
        save_safetensors(model, description, path)

    monkeypatch.setitem(SAVERS, '.safetensors', save_another)
    (tmp_path / 'net.safetensors').write_text('an earlier export')
    with pytest.raises(ValueError, match='net.safetensors was not written: .*by up to'):
        export_network(model, tmp_path / 'net.safetensors')
    assert [path.name for path in tmp_path.iterdir()] == ['net.safetensors']
    assert (tmp_path / 'net.safetensors').read_text() == 'an earlier export'


def test_an_unknown_format_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match='net.pth must name a format: .safetensors'):
        export_network(model, tmp_path / 'net.pth')


def test_stage_1_is_refused(tmp_path):
    with pytest.raises(ValueError, match='FMANetStage1 restores no windows.*stage 2'):
        export_network(tiny_network(stage=1), tmp_path / 'net.onnx')
    assert not list(tmp_path.iterdir())


def test_variants_of_this_package_are_described_by_their_parts(tmp_path):
    config = tiny_config()
    config.model.net_d = dict(downsampling=dict(type='DynamicDownsampling'))
    torch.manual_seed(0)
    variant = build_network(config).eval()
    assert export_network(variant, tmp_path / 'net.safetensors') == 0
    loaded = load_network(tmp_path / 'net.safetensors')
    assert type(loaded.net_d.downsampling) is type(variant.net_d.downsampling)
    assert type(loaded.net_d.downsampling).__name__ == 'DynamicDownsampling'


def test_parts_of_others_are_refused_by_their_name(model, tmp_path):
    model.cfg.model.net_d = dict(downsampling=dict(type='mmagic.SRCNN'))
    with pytest.raises(
        ValueError, match="FMANet cannot be exported: there is no network 'mmagic.SRCNN"
    ):
        export_network(model, tmp_path / 'net.safetensors')
    assert not list(tmp_path.iterdir())


def test_half_rounds_every_weight_and_halves_the_file(model, tmp_path):
    whole, half = tmp_path / 'whole.safetensors', tmp_path / 'half.safetensors'
    assert export_network(model, whole) == 0
    assert 0 < export_network(model, half, half=True) < 1e-2
    assert half.stat().st_size / whole.stat().st_size < 0.6
    loaded = load_network(half)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(
            loaded.state_dict()[name], value.half().float(), rtol=0, atol=0
        )


def test_half_is_refused_where_there_is_none(model, tmp_path):
    with pytest.raises(ValueError, match='float16 weights need a .safetensors file'):
        export_network(model, tmp_path / 'net.onnx', half=True)


def test_missing_packages_are_named(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxscript', None)
    with pytest.raises(ImportError, match=r'pip install "fmanet_mm\[export\]"'):
        export_network(model, tmp_path / 'net.onnx')
    assert not list(tmp_path.iterdir())


def test_the_tool_exports_a_checkpoint(model, tmp_path, monkeypatch, capsys):
    config, checkpoint = tmp_path / 'config.py', tmp_path / 'iter_1.pth'
    out = tmp_path / 'new' / 'net.safetensors'
    model.cfg.dump(config)
    torch.save(dict(state_dict=model.state_dict()), checkpoint)
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, (config, checkpoint, out))])
    runpy.run_path(str(TOOL), run_name='__main__')
    assert 'net.safetensors; its frames differ by up to 0 ' in capsys.readouterr().out
    assert load_network(out).scale == 2
