"""The command line of benchmarks/benchmark.py, and its failures."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import torch

TOOL = Path(__file__).parents[2] / 'benchmarks/benchmark.py'
CPU = ['--device', 'cpu']


def run(*arguments):
    command = [sys.executable, TOOL, *CPU, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope='module')
def tool():
    """The tool as a module, with its folder on the path as when it is run."""
    sys.path.insert(0, str(TOOL.parent))
    yield importlib.import_module('benchmark')
    sys.path.remove(str(TOOL.parent))


@pytest.fixture(scope='module')
def trial(tmp_path_factory):
    out = tmp_path_factory.mktemp('trial') / 'out'
    size = '24x32'
    sizes = ['--sizes', size, '--clip-size', size, '--clip-lengths', 3]
    done = run(
        *('--quick', '--threads', 1, '--repeats', 2, '--out', out, *sizes),
        *('--training', 1, 16, '--long', 20, '--profile'),
    )
    assert done.returncode == 0, done.stderr
    return out, json.loads((out / 'benchmark.json').read_text()), done.stdout


def test_gradients_of_depthwise_convolutions_take_twice_the_operations(tool):
    from calls import count_macs

    conv = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)
    x = torch.rand(1, 8, 5, 6, requires_grad=True)
    once = 8 * 9 * 5 * 6
    assert count_macs(lambda: conv(x)) == once
    assert count_macs(lambda: conv(x).sum().backward()) == 3 * once
    assert count_macs(lambda: conv(x.detach()).sum().backward()) == 2 * once


def of_kind(results, kind):
    return {r['variant']: r for r in results['records'] if r['kind'] == kind}


def test_every_case_is_measured(trial):
    _, results, printed = trial
    assert [(r['kind'], r['variant']) for r in results['records']] == [
        *(('frame', variant) for variant in ('plain', 'window', 'stream')),
        *(('clip', variant) for variant in ('plain', 'window', 'stream')),
        *(('training', variant) for variant in ('plain', 'package', 'checkpointed')),
    ]
    assert not any(r['error'] for r in results['records']), printed
    assert all(len(r['seconds']) == 2 for r in results['records'])
    assert results['environment']['threads'] == 1
    assert 'stream fp32: turn 2 of 2' in printed


def test_ratios_are_of_the_own_figures(trial):
    for kind in ('frame', 'clip', 'training'):
        records = of_kind(trial[1], kind)
        plain = records['plain']
        for r in records.values():
            assert r['median_seconds'] == median(r['seconds'])
            assert r['min_seconds'] == min(r['seconds'])
            assert r['per_second'] == 1 / r['median_seconds']
            assert r['speedup'] == plain['median_seconds'] / r['median_seconds']
            if kind != 'clip':
                ratio = r['tensor_bytes'] / plain['tensor_bytes']
                assert r['tensor_ratio'] == ratio
            assert r['peak_ratio'] == r['peak_bytes'] / plain['peak_bytes']
        assert plain['speedup'] == plain['peak_ratio'] == 1


def test_outputs_agree(trial):
    for record in trial[1]['records']:
        assert 0 <= record['max_difference'] < 1e-5
        if record['variant'] == 'plain':
            assert record['max_difference'] == 0


def test_counts_of_operations_and_tensors(trial):
    frame, training = (of_kind(trial[1], kind) for kind in ('frame', 'training'))
    macs = [frame[v]['macs_per_pixel'] for v in ('stream', 'window', 'plain')]
    assert macs == sorted(set(macs))
    for r in (*frame.values(), *training.values()):
        macs = r['macs_per_pixel'] * r['height'] * r['width'] * r['count']
        expected = 2 * macs / r['median_seconds']
        assert r['flops_per_second'] == pytest.approx(expected)
    assert training['package']['tensor_bytes'] < training['plain']['tensor_bytes']


def test_profile_reports_where_the_time_goes(trial):
    out, results, _ = trial
    table = (out / 'benchmark.md').read_text()
    for record in results['records']:
        parts = record['operations']
        assert sum(parts.values()) == pytest.approx(1)
        first = max(parts.values())
        assert f'Where the time of {record["case"]} goes: ' in table
        assert f' {100 * first:.1f} %, ' in table
        assert parts['aten::mkldnn_convolution'] > 0.02


def test_memory_of_a_long_stream(trial):
    long = trial[1]['long']
    assert long['frames'] == list(range(2, 21, 2))
    first, *_, last = long['memory_bytes']
    assert long['growth'] == last / first - 1
    assert len(long['memory_bytes']) == 10 and long['error'] is None


def test_table_and_plot(trial):
    out, results, printed = trial
    assert sorted(path.name for path in out.iterdir()) == [
        f'benchmark.{kind}' for kind in ('json', 'md', 'png')
    ]
    table = (out / 'benchmark.md').read_text()
    assert table in printed
    for record in results['records']:
        row = f'| {record["case"]} | {record["median_seconds"]:.3g} |'
        assert row in table
        assert f'| {record["speedup"]:.3g}x |' in table
    assert (out / 'benchmark.png').read_bytes().startswith(b'\x89PNG')


class StubWorker:
    """Answers at once; 'window' runs out of memory in its second turn."""

    SECONDS = dict(plain=8.0, window=4.0, stream=2.0)
    BYTES = dict(plain=300, window=200, stream=100)

    def __init__(self, task, case, device, threads):
        self.variant, self.turns, self.closed = case.variant, 0, False

    def close(self):
        self.closed = True

    def ask(self, question, *args):
        assert not self.closed
        return getattr(self, question)(*args)

    def environment(self):
        return dict(device='stub')

    def inspect(self):
        if self.variant == 'stream':
            raise RuntimeError('cannot be counted')
        return dict(macs=960, tensor_bytes=self.BYTES[self.variant])

    def prepare(self):
        pass

    def turn(self, calls):
        self.turns += 1
        if self.variant == 'window' and self.turns == 2:
            raise RuntimeError('out of memory')
        seconds = [self.SECONDS[self.variant] * self.turns] * calls
        size = 10 * self.BYTES[self.variant]
        return dict(seconds=seconds, memory_bytes=size, peak_bytes=size)

    def output(self):
        return np.float32([0, dict(plain=0, window=0.25, stream=-0.5)[self.variant]])


@pytest.fixture
def stubbed(tool, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(tool, 'Worker', StubWorker)

    def call(*arguments):
        words = [*CPU, *map(str, arguments), '--out', str(tmp_path)]
        monkeypatch.setattr(sys, 'argv', ['benchmark.py', *words])
        tool.main()
        results = json.loads((tmp_path / 'benchmark.json').read_text())
        return results, (tmp_path / 'benchmark.md').read_text()

    return call


def test_a_failing_case_is_reported_and_the_others_continue(stubbed, capsys):
    results, table = stubbed('--sizes', '8x12', '--dtypes', 'fp32', '--repeats', 3)
    plain, window, stream = results['records']
    assert plain['seconds'] == [8, 16, 24] and stream['seconds'] == [2, 4, 6]
    assert stream['speedup'] == 4 and stream['peak_ratio'] == 100 / 300
    assert stream['max_difference'] == 0.5 and stream['macs_per_pixel'] is None
    assert plain['macs_per_pixel'] == 10 and stream['tensor_ratio'] is None
    assert window['error'] == 'out of memory' and window['tensor_bytes'] == 200
    assert '| window fp32 | failed |' in table
    assert 'window fp32 failed: out of memory' in table
    printed = capsys.readouterr().out
    assert '8x12, window fp32: failed: out of memory' in printed
    assert 'stream fp32: multiply-adds and tensors were not counted' in printed


def test_without_the_plain_form_there_are_no_ratios(stubbed):
    results, table = stubbed('--sizes', '8x12', '--variants', 'stream')
    assert [r['case'] for r in results['records']] == ['stream fp32', 'stream bf16']
    assert all(r['speedup'] is r['max_difference'] is None for r in results['records'])
    assert '| stream fp32 | 4 | 2 | 0.25 | - | - | - |' in table


def test_compiled_cases_are_listed_with_the_others(stubbed):
    results, _ = stubbed('--sizes', '8x12', '--dtypes', 'fp32', '--compile')
    cases = [r['case'] for r in results['records']]
    assert cases[:2] == ['plain fp32', 'plain fp32 compiled (default)']
    assert len(cases) == 6
    assert results['records'][1]['tensor_bytes'] is None


def test_clip_times_are_per_frame(stubbed):
    arguments = ('--dtypes', 'fp32', '--variants', 'plain', '--clip-lengths', 4)
    results, table = stubbed(
        '--sizes', *arguments, '--repeats', 1, '--clip-size', '2x3'
    )
    (record,) = results['records']
    assert record['seconds'] == [2]
    assert 'Restoration, a frame' not in table


def test_times_of_batches_are_per_frame(stubbed):
    arguments = ('--dtypes', 'fp32', '--variants', 'plain', '--repeats', 1)
    results, table = stubbed('--sizes', '8x12', '--batch', 4, *arguments)
    (record,) = results['records']
    assert record['task'] == '8x12, batches of 4'
    assert record['seconds'] == [2] and record['macs_per_pixel'] == 10 / 4
    assert record['flops_per_second'] == 2 * 960 / 4 / 2


def test_streams_compute_batches(tool):
    from calls import prepare

    single, batches = (
        prepare(tool.Task('frame', count, 9, 13, True), case, torch.device('cpu'))
        for case in [tool.Case('stream', 'fp32')]
        for count in (1, 2)
    )
    for _ in range(2):
        single()
        torch.testing.assert_close(batches(), single(), rtol=0, atol=1e-5)


def test_streams_within_a_budget_are_counted_on_strips(tool):
    def inspect(memory_budget):
        task = tool.Task('frame', 1, 96, 64, True, memory_budget)
        worker = tool.Worker(task, tool.Case('stream', 'fp32'), 'cpu', 1)
        counted = worker.ask('inspect')
        worker.close()
        return counted

    whole, on_strips = inspect(None), inspect(0.05)
    assert on_strips['tensor_bytes'] < 0.8 * whole['tensor_bytes']
    assert on_strips['macs'] > whole['macs'], 'halos are computed twice'


def test_worker_reports_why_it_failed(tool):
    worker = tool.Worker(
        tool.Task('frame', 1, 8, 12), tool.Case('no', 'fp32'), 'cpu', 1
    )
    with pytest.raises(RuntimeError, match="ValueError: 'no' restores no frames"):
        worker.ask('prepare')
    assert worker.ask('environment')['threads'] == 1
    os.kill(worker._process.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match='exit code -?9.*memory ran out'):
        worker.ask('prepare')
    worker.close()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--sizes', '180'], "must be HxW, such as 180x320, got '180'"),
        (['--sizes', '0x4'], "must be HxW, such as 180x320, got '0x4'"),
        (['--repeats', '0'], "must be a number of 1 or more, got '0'"),
        (['--dtypes', 'fp16'], 'tf32 and fp16 need a GPU, --device is cpu'),
    ],
)
def test_bad_arguments_are_reported(tool, monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', *CPU, *arguments])
    with pytest.raises(SystemExit):
        tool.main()
    assert re.search(re.escape(message), capsys.readouterr().err)
