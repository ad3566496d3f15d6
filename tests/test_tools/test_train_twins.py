"""Training the demo's network and its flow-guided twin in one call."""

import importlib.util
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from fmanet_mm.datasets import VSRDBRandomFlip, VSRDBRandomTranspose
from fmanet_mm.restoration import load_network

TOOL = Path(__file__).resolve().parents[2] / 'tools/train_twins.py'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('train_twins', TOOL)
    module = importlib.util.module_from_spec(spec)
    sys.modules['train_twins'] = module
    spec.loader.exec_module(module)
    return module


def run(tool, monkeypatch, *arguments):
    """Run the tool in this process, which renders in a thread."""
    monkeypatch.setattr(
        tool, 'ProcessPoolExecutor', lambda *args: ThreadPoolExecutor(1)
    )
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    tool.main()


def test_a_rehearsal(tool, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'twins'
    run(tool, monkeypatch, '--rehearse', '--out', out)
    printed = capsys.readouterr().out
    assert '8 windows in' in printed
    assert '| all | 4 |' in printed
    results = json.loads((out / 'results.json').read_text())
    assert results['iterations'] == {
        name: {'stage 1': 3, 'stage 2': 3} for name in ('conventional', 'flow-guided')
    }
    kinds = []
    for name in ('demo', 'demo_flow_guided'):
        network = load_network(str(out / f'{name}.safetensors'))
        kinds.append(type(network.net_r.upsampling).__name__)
    assert kinds == ['DynamicUpsampling', 'FlowGuidedDynamicUpsampling']
    with pytest.raises(SystemExit):
        run(tool, monkeypatch, '--rehearse', '--out', out)
    assert 'exists; name a new folder' in capsys.readouterr().err


def test_batches_are_augmented_as_the_transforms_do(tool):
    """All four flips and transpositions that the seeds give, in the same order."""
    rng = np.random.default_rng(0)
    sample = dict(
        img=[rng.integers(0, 256, (8, 8, 3), np.uint8) for _ in range(3)],
        flow=[rng.normal(size=(8, 8, 2)).astype(np.float32) for _ in range(3)],
    )
    seen = set()
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        choices = torch.rand(3, generator=generator) < 0.5
        order = torch.randperm(3, generator=generator)
        horizontal, vertical, transposed = choices.tolist()
        seen.add((horizontal, vertical, transposed))
        expected = VSRDBRandomTranspose(float(transposed))(
            VSRDBRandomFlip(float(horizontal), float(vertical))(
                {kind: list(frames) for kind, frames in sample.items()}
            )
        )
        windows = {
            kind: torch.from_numpy(np.stack(frames))[None]
            for kind, frames in sample.items()
        }
        batch = tool.to_batch(windows, torch.tensor([0]), torch.device('cpu'))
        found = tool.augment(batch, torch.Generator().manual_seed(seed))
        image = np.stack(expected['img'])[..., order.numpy()]
        np.testing.assert_allclose(
            found['img'][0].permute(0, 2, 3, 1), image / 255, atol=1e-6
        )
        np.testing.assert_array_equal(
            found['flow'][0].permute(0, 2, 3, 1), np.stack(expected['flow'])
        )
    assert len(seen) >= 6


def test_the_table_has_means_by_motion(tool):
    values = dict(
        motion=[1, 3, 3.5],
        bicubic=[30, 20, 22],
        restored=[31, 22, 23],
        flow_error=[1, 2, 4],
    )
    assert tool.table(dict(net=values)).splitlines() == [
        '| motion (px) | windows | bicubic | net | its flow error (px) |',
        '| --- | --- | --- | --- | --- |',
        '| 0 to 2 | 1 | 30.00 | 31.00 | 1.00 |',
        '| 2 to 4 | 2 | 21.00 | 22.50 | 3.00 |',
        '| all | 3 | 24.00 | 25.33 | 2.33 |',
    ]


def test_time_that_is_too_short_is_reported(tool, tmp_path):
    with pytest.raises(ValueError, match='no windows were rendered.*--minutes'):
        tool.load(tmp_path, torch.device('cpu'))


def test_a_loss_that_is_not_finite_stops(tool):
    with pytest.raises(ValueError, match='not finite after 5 iterations'):
        tool.report(5, 1.0, dict(loss=torch.tensor(float('nan'))))


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason='CUDA graphs need an NVIDIA GPU'
)
def test_a_captured_step_computes_what_the_step_does(tool):
    weight = torch.zeros(3, device='cuda')
    value = torch.ones(3, device='cuda')

    def step():
        weight.add_(value)
        return dict(sum=weight.sum())

    run_step = tool.capture(step)
    before = weight.clone()
    value.fill_(2)
    assert run_step()['sum'].item() == (before + 2).sum().item()
