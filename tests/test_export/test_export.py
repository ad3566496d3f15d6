import runpy
import sys
from pathlib import Path

import pytest
import torch

from fmanet_mm.export import export, export_network, load_window_model
from fmanet_mm.export.safetensors import load_safetensors_model, save_safetensors

TOOL = Path(__file__).parents[2] / 'tools/deployment/export.py'


def test_an_export_that_differs_is_not_kept(model, make_model, tmp_path, monkeypatch):
    def save_another(model, description, path):
        model = make_model()
        with torch.no_grad():
            model.net_r.high_frequency_head.conv_last.weight += 0.01
        save_safetensors(model, description, path)

    monkeypatch.setitem(export._SAVERS, '.safetensors', save_another)
    (tmp_path / 'net.safetensors').write_text('an earlier export')
    with pytest.raises(ValueError, match='net.safetensors was not written: .*by up to'):
        export_network(model, tmp_path / 'net.safetensors')
    assert [path.name for path in tmp_path.iterdir()] == ['net.safetensors']
    assert (tmp_path / 'net.safetensors').read_text() == 'an earlier export'


def test_an_unknown_format_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match='net.pth must name a format: .safetensors'):
        export_network(model, tmp_path / 'net.pth')


def test_stage_1_is_refused(make_model, tmp_path):
    with pytest.raises(ValueError, match='without net_r restores nothing.*stage 2'):
        export_network(make_model(stage=1), tmp_path / 'net.onnx')
    assert not list(tmp_path.iterdir())


def test_variants_are_refused_by_the_part_that_makes_them(model, tmp_path):
    model.cfg.model.net_d.downsampling = dict(type='DynamicDownsampling')
    with pytest.raises(ValueError, match="net_d is built with downsampling=.*'Dynamic"):
        export_network(model, tmp_path / 'net.safetensors')
    assert not list(tmp_path.iterdir())


def test_half_rounds_every_weight_and_halves_the_file(model, tmp_path):
    whole, half = tmp_path / 'whole.safetensors', tmp_path / 'half.safetensors'
    assert export_network(model, whole) == 0
    assert 0 < export_network(model, half, half=True) < 1e-2
    assert half.stat().st_size / whole.stat().st_size < 0.6
    loaded = load_safetensors_model(half)
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
    assert load_window_model(out).scale == 2
