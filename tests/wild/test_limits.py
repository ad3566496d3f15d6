"""Limits that the computer, a container or the command sets."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from fmanet_mm.utils.host_memory import free_host_bytes, free_in_control_groups


def write(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{content}\n')


V2 = 'sys/fs/cgroup'
V1 = 'sys/fs/cgroup/memory'


@pytest.mark.parametrize(
    ('files', 'expected'),
    [
        ({'proc/self/cgroup': '0::/'}, []),
        (
            {
                'proc/self/cgroup': '0::/',
                f'{V2}/memory.max': 1000,
                f'{V2}/memory.current': 600,
                f'{V2}/memory.stat': 'anon 300\ninactive_file 250',
            },
            [650],
        ),
        (
            {
                'proc/self/cgroup': '0::/a.slice/b',
                f'{V2}/a.slice/b/memory.max': 'max',
                f'{V2}/a.slice/b/memory.current': 100,
                f'{V2}/a.slice/memory.max': 900,
                f'{V2}/a.slice/memory.current': 800,
            },
            [100],
        ),
        (
            {  # a container: the path is that outside, the limit in the mount
                'proc/self/cgroup': '4:cpu:/x\n3:memory,hugetlb:/docker/0123',
                f'{V1}/memory.limit_in_bytes': 5000,
                f'{V1}/memory.usage_in_bytes': 1000,
                f'{V1}/memory.stat': 'inactive_file 1\ntotal_inactive_file 30',
            },
            [4030],
        ),
        (
            {
                'proc/self/cgroup': '3:memory:/',
                f'{V1}/memory.limit_in_bytes': 9223372036854771712,
                f'{V1}/memory.usage_in_bytes': 1000,
            },
            [],
        ),
        ({}, []),
    ],
)
def test_control_groups_limit_the_memory(tmp_path, files, expected):
    write(tmp_path, files)
    assert list(free_in_control_groups(tmp_path)) == expected


def test_free_memory_is_no_more_than_the_system_has():
    assert 0 <= free_host_bytes() <= psutil.virtual_memory().total


def test_ulimit_limits_the_memory():
    pytest.importorskip('resource')
    script = """
import resource, psutil
import torch
from fmanet_mm.restoration.memory import free_bytes
used = psutil.Process().memory_info().vms
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, -1))
print(free_bytes(torch.device('cpu')))
"""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', script],
        check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert 0 < int(done.stdout) <= 2**28


# Of the command


@pytest.fixture
def unrestored(monkeypatch):
    """Nothing may be restored."""
    from fmanet_mm.restoration import VideoRestorer

    def fail(*_, **__):
        pytest.fail('restored')

    monkeypatch.setattr(VideoRestorer, 'restore_video', fail)


def test_a_comparison_that_exceeds_the_limits_is_refused_before_the_work(
    make_clip, run_command, capsys, unrestored
):
    # 10 x 14 pixels, of which the output has four times as many.
    assert run_command(make_clip('a.mp4'), '--compare', '--max-pixels', '300') == 1
    assert '(20, 28), more than max_pixels = 300' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('size', 'options', 'message'),
    [
        ((20, 30), (), r'frames of (H, W) = (20, 30), the output will have (20, 28)'),
        ((20, 28), ('--max-seconds', '0.1'), 'more than max_seconds = 0.1'),
        ((40, 56), ('--max-pixels', '600'), 'more than max_pixels = 600'),
    ],
)
def test_the_ground_truth_is_checked_before_the_work(
    make_clip, run_command, capsys, unrestored, size, options, message
):
    truth = make_clip('truth.mp4', 9 if 'max_seconds' in message else 2, size)
    arguments = ['--compare', '--ground-truth', truth, *options]
    assert run_command(make_clip('a.mp4', 2), *arguments) == 1
    assert message in capsys.readouterr().err


def test_limits_that_were_raised_hold_for_the_comparison(
    tmp_path, make_clip, run_command, monkeypatch
):
    from fmanet_mm.video.limits import Limits

    monkeypatch.setattr(Limits.__init__, '__defaults__', (100, 0.01))
    limits = ['--max-pixels', '1000', '--max-seconds', '10']
    assert run_command(make_clip('a', 3), '--compare', *limits) == 0
    assert (tmp_path / 'a_restored_compare.html').is_file()
