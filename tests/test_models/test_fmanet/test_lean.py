"""Strips and checkpointing give what the plain computation gives."""

import importlib.util
from pathlib import Path

import golden
import pytest
import torch
import torch.nn.functional as F
from golden_model import batch, build

from fmanet_mm.models import FMANet, NetD
from fmanet_mm.ops import Strips

TINY = dict(
    channels=30,
    num_flows=2,
    num_blocks=2,
    num_attention_blocks=1,
    num_heads=2,
    num_rdbs=2,
    growth_channels=4,
    num_dense_layers=2,
)


def load_plain():
    benchmarks = Path(__file__).parents[3] / 'benchmarks'
    spec = importlib.util.spec_from_file_location('plain', benchmarks / 'plain.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_tiny(num_frames=3, scale=4, up_kernel_size=5, **changes):
    torch.manual_seed(0)
    architecture = TINY | dict(
        num_frames=num_frames,
        scale=scale,
        degradation_kernel_size=scale + 4,
        restoration_kernel_size=up_kernel_size,
    )
    model = FMANet(architecture | changes)
    for name, parameter in model.named_parameters():
        if 'flow' in name:
            parameter.data.mul_(4)
    return model.eval()


def restore(model, window, strips):
    """As a stream does, on strips."""
    return model.refine([model.encode(x, strips) for x in window.unbind(1)], strips)


@pytest.mark.parametrize('rows', [3, 8])
@pytest.mark.parametrize(
    'sizes', [{}, dict(num_frames=5, scale=2), dict(scale=3, up_kernel_size=9)]
)
@torch.no_grad()
def test_strips_change_nothing(rows, sizes):
    model = build_tiny(**sizes).double()
    window = torch.rand(1, model.num_frames, 3, 13, 6, dtype=torch.float64)
    expected_d, degradation = (model.net_d(window, Strips(r)) for r in (None, rows))
    assert expected_d.flow_masks.abs().max() > 1, 'no motion, so no test of the warps'
    for ours, expected in zip(
        (*degradation, restore(model, window, Strips(rows))),
        (*expected_d, restore(model, window, Strips())),
        strict=True,
    ):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_strips_in_float32():
    model = build_tiny()
    window = torch.rand(1, 3, 3, 40, 16)
    expected = restore(model, window, Strips())
    given = restore(model, window, Strips(16))
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-4)


@torch.no_grad()
def test_heads_work_on_strips_of_their_own_in_large_frames():
    model = build_tiny().double()
    window = torch.rand(1, 3, 3, 70, 4, dtype=torch.float64)
    with torch.enable_grad():
        whole = model(window)
    output = restore(model, window, Strips())
    torch.testing.assert_close(output, whole, rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_windows_and_streams_are_the_published_composition_of_the_nets():
    model = build_tiny().double()
    window = torch.rand(1, 3, 3, 13, 6, dtype=torch.float64)
    degradation = model.net_d(window)
    kernels = model.net_d.kernels(degradation.kernel_feature)
    expected = model.net_r(window, degradation, kernels).output
    torch.testing.assert_close(model(window), expected, rtol=1e-10, atol=1e-10)
    stream = restore(model, window, Strips())
    torch.testing.assert_close(stream, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('name', ['tiny_stage1', 'tiny_stage2'])
def test_checkpointing_gives_equal_gradients(name):
    data = golden.load(name)
    inputs, samples = batch(data)
    results, kept = [], []
    for with_cp in (False, True):
        model = build(data, with_cp=with_cp).train()
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x, saved=saved: saved.append(x.untyped_storage()) or x, lambda x: x
        ):
            total, _ = model.parse_losses(model(inputs, samples, mode='loss'))
        total.backward()
        results.append({n: p.grad for n, p in model.named_parameters()} | {'': total})
        kept.append(sum({s.data_ptr(): s.nbytes() for s in saved}.values()))
    for key, expected in results[0].items():
        torch.testing.assert_close(
            results[1][key], expected, rtol=1e-4, atol=1e-7, msg=key
        )
    assert kept[1] < 0.55 * kept[0]


def test_checkpointing_is_switched_on_in_the_config():
    net = NetD(**TINY, with_cp=True)
    assert net.extractor.blocks[0].with_cp
    assert net.blocks[0].attention_blocks[0].halves['centre'].with_cp
    assert not NetD(**TINY).blocks[0].feature_rdb.with_cp


@torch.no_grad()
def test_bfloat16_loses_no_more_than_autocast_in_the_published_form():
    data = golden.load('tiny_stage2')
    plain = load_plain().PlainFMANet(**data['config'])
    plain.load_state_dict(data['state_dict'])
    model = build(data).eval()
    converted = build(data).eval().bfloat16()
    errors = dict(plain=0, ours=0, converted=0)
    for seed in range(8):
        torch.manual_seed(seed)
        x = F.interpolate(torch.rand(3, 3, 5, 5), (20, 20), mode='bicubic')[None]
        expected = plain(golden.frames(x))['output']
        with torch.autocast('cpu', torch.bfloat16):
            outputs = dict(
                plain=plain(golden.frames(x))['output'],
                ours=model(x, mode='tensor'),
            )
        outputs['converted'] = converted(x.bfloat16(), mode='tensor')
        for name, output in outputs.items():
            errors[name] += (output - expected).abs().mean().item()
    for name in ('ours', 'converted'):
        assert 0 < errors[name] < 1.08 * errors['plain'], errors


@torch.no_grad()
def test_restoration_compiles_to_one_graph():
    data = golden.load('tiny_stage2')
    model = build(data).eval()
    compiled = torch.compile(model.forward_tensor, backend='eager', fullgraph=True)
    for size in ((20, 20), (40, 12)):
        window = torch.rand(1, 3, 3, *size)
        expected = model.forward_tensor(window)
        torch.testing.assert_close(compiled(window), expected, rtol=0, atol=1e-5)
