import sys

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from fmanet_mm.ops import fused


@pytest.fixture(autouse=True)
def nothing_is_cached():
    fused.load_kernels.cache_clear()
    yield
    fused.load_kernels.cache_clear()


def on_gpu(dtype=torch.float32):
    """A tensor of a GPU that need not exist, without data."""
    with FakeTensorMode():
        return torch.ones(1, 2, 3, 4, device='cuda', dtype=dtype)


def test_kernels_are_for_gpus():
    pytest.importorskip('triton')
    with FakeTensorMode():
        assert fused.find_kernels(on_gpu(torch.bfloat16)).__name__.endswith('kernels')
    assert fused.find_kernels(on_gpu(torch.float64)) is None
    assert fused.find_kernels(torch.ones(1, 2, 3, 4)) is None


def test_without_triton_it_is_reported_once(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'fmanet_mm.ops.triton_kernels', None)
    monkeypatch.delattr('fmanet_mm.ops.triton_kernels', raising=False)
    for _ in range(2):
        assert fused.find_kernels(on_gpu()) is None
    assert capsys.readouterr().out.count('without Triton, which is slower') == 1


def test_without_a_compiler_it_is_reported(monkeypatch, capsys):
    triton_kernels = pytest.importorskip('fmanet_mm.ops.triton_kernels')

    def fail(*_):
        raise RuntimeError('Failed to find C compiler')

    monkeypatch.setattr(triton_kernels, 'try_kernels', fail)
    with FakeTensorMode():
        assert fused.find_kernels(on_gpu()) is None
    assert 'Failed to find C compiler' in capsys.readouterr().out


@pytest.mark.parametrize('zeros', [0, 3])
def test_normalise_equals_the_formula(zeros):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 4, 3, generator=generator, dtype=torch.float64) + 3
    wide = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, zeros))
    deviation = (x.var(1, unbiased=False, keepdim=True) + 0.1).sqrt()
    for centred in (True, False):
        expected = (x - x.mean(1, keepdim=True) if centred else x) / deviation
        given = fused.normalise(wide, 5, centred, 0.1)
        torch.testing.assert_close(given[:, :5], expected, rtol=1e-12, atol=1e-12)
        assert given.size(1) == 5 + zeros
        assert not given[:, 5:].any()
