"""Several processes on one computer."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from argparse import Namespace
from multiprocessing import Pipe
from pathlib import Path

import pretended_process
import pytest
from helpers import moving_images, same_files, write_folder

from fmanet_mm.cli import team as team_module
from fmanet_mm.cli.arguments import parse_args
from fmanet_mm.cli.jobs import Job, Task
from fmanet_mm.cli.reports import Outcome
from fmanet_mm.cli.restore_video import main
from fmanet_mm.cli.team import NotUsableError, Team, serve
from fmanet_mm.video.segments import NUM_FRAMES
from fmanet_mm.video.spans import Part

REPO = Path(__file__).resolve().parents[2]
TOTAL = NUM_FRAMES + 10


@pytest.fixture
def network():
    """A tiny network that describes itself."""
    return ['--checkpoint', str(REPO / 'tests/data/fmanet_tiny_v0_1.safetensors')]


@pytest.fixture
def clip(tmp_path):
    return write_folder(tmp_path / 'clip', moving_images(TOTAL, (8, 10)))


# With the network


@pytest.mark.slow
def test_two_processes_write_the_file_of_one(tmp_path, clip, network, capsys):
    (clip / 'note.txt').write_text('no frame')
    whole, out = tmp_path / 'whole.mp4', tmp_path / 'out.mp4'
    assert main([str(clip), '--out', str(whole), *network, '--device', 'cpu']) == 0
    capsys.readouterr()
    options = ['--device', 'cpu,cpu', '--json']
    assert main([str(clip), '--out', str(out), *network, *options]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {event['event'] for event in events[:-1]} == {'progress'}
    assert (events[-2]['frames'], events[-2]['total']) == (TOTAL, TOTAL)
    assert events[-2]['memory_gib'] > 0.02
    assert (events[-1]['event'], events[-1]['frames']) == ('done', TOTAL)
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ['clip', 'out.mp4', 'whole.mp4']


@pytest.fixture
def as_a_process():
    """Undo what a process changes for itself."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in signals]
    logger = logging.getLogger('fmanet_mm')
    handlers = list(logger.handlers)
    yield
    logger.handlers = handlers
    for number, handler in zip(signals, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures('as_a_process')
def test_a_process_keeps_its_part_when_it_is_interrupted(tmp_path, clip, network):
    job = Job(clip, tmp_path / 'out', None)
    args, _ = parse_args([str(clip), *network, '--device', 'cpu'])
    connection, theirs = Pipe()
    received = []

    def parent():
        connection.send(None)  # too late for a task that there is not
        connection.send(Task(job, Part(0, 2, 'run')))
        while connection.poll(60):
            received.append(connection.recv())
            if received[-1][:1] == ('progress',) and received[-1][1][0] == 5:
                connection.send(None)
            if received[-1][0] == 'outcome':
                break
        connection.close()

    thread = threading.Thread(target=parent)
    thread.start()
    serve(theirs, args, 1)
    thread.join()
    kinds = [kind for kind, _ in received]
    assert kinds[0] == 'ready'
    assert set(kinds[1:-1]) <= {'progress', 'log'}
    outcome = received[-1][1]
    partial = tmp_path / '.out.partial'
    kept = len(os.listdir(partial / 'images'))
    assert 5 <= kept < NUM_FRAMES
    assert (outcome.exit_code, outcome.num_frames) == (130, kept)
    assert outcome.error == (
        f'interrupted; the finished part is kept as {partial}, --resume continues'
    )


@pytest.mark.usefixtures('as_a_process')
def test_a_process_says_why_it_cannot_use_its_network(clip, network):
    args, _ = parse_args([str(clip), *network, '--device', 'cpu', '--dtype', 'fp16'])
    connection, theirs = Pipe()
    serve(theirs, args, 1)
    kind, message = connection.recv()
    assert (kind, message) == (
        'unusable', 'fp16 needs a GPU; use bf16 or fp32 on the CPU',
    )  # fmt: skip


@pytest.mark.slow
def test_a_rank_that_is_killed_leaves_parts_to_resume(
    tmp_path, clip, network, capsys, monkeypatch
):
    out, partial = tmp_path / 'out', tmp_path / '.out.partial'
    command = [str(clip), '--out', str(out), *network, '--device', 'cpu']
    launched = dict(WORLD_SIZE='2', MASTER_PORT='1')
    first_of_part = partial / 'images' / f'{NUM_FRAMES + 5:04d}.png'
    process = subprocess.Popen(
        [sys.executable, '-m', 'fmanet_mm.cli.restore_video', *command],
        env=os.environ | dict(launched, RANK='1', OMP_NUM_THREADS='1'), cwd=REPO,
    )  # fmt: skip
    while process.poll() is None and not first_of_part.exists():
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    with monkeypatch.context() as patch:
        for name, value in dict(launched, RANK='0').items():
            patch.setenv(name, value)
        assert main(command) == 0
    captured = capsys.readouterr()
    assert f'part 1 of 2 is done, {NUM_FRAMES} frames; the process that' in captured.err
    assert captured.out == ''
    assert not out.exists()
    assert main(command) == 1
    assert 'frames of an interrupted run; resume it' in capsys.readouterr().err
    assert main([*command, '--resume']) == 0
    assert main([str(clip), '--out', str(tmp_path / 'whole'), *command[3:]]) == 0
    assert same_files(out, tmp_path / 'whole')


def test_ranks_share_a_list(tmp_path, make_clip, network, capsys, monkeypatch):
    clips = [make_clip(f'{index}.mp4', 2) for index in range(3)]
    monkeypatch.setenv('WORLD_SIZE', '2')
    written = []
    for rank in '10':
        monkeypatch.setenv('RANK', rank)
        assert main([*clips, *network, '--device', 'cpu']) == 0
        written.append(capsys.readouterr().out.splitlines())
    assert [[line.split(' ->')[0] for line in lines] for lines in written] == [
        [clips[1]],
        [clips[0], clips[2]],
    ]


# Without: how a process behaves depends on the name of the input


@pytest.fixture
def start(monkeypatch):
    monkeypatch.setattr(team_module, 'serve', pretended_process.serve)

    def make(devices='a,b'):
        return Team(Namespace(), devices.split(','))

    return make


class Report:
    """Notes the progress, and calls a function first."""

    def __init__(self, function=lambda: None):
        self.function = function
        self.noted = []

    def progress(self, job, done, total):
        self.noted.append((job.src.stem, done, total))
        self.function()


def job_of(name):
    return Job(Path(f'{name}.mp4'), Path(f'{name}_out.mp4'), None)


def test_a_job_is_cut_into_parts_and_a_list_is_shared(start, caplog):
    report = Report()
    with start() as team:
        (outcome,) = team.run([job_of('one')], report)
        assert outcome == Outcome(job_of('one'), 3, Path('one_out.mp4'))
        assert report.noted == [('one', 6, 10)]  # when both parts have begun
        assert team.used_memory() == 1
        jobs = [job_of(f'clip{index}') for index in range(5)]
        outcomes = list(team.run(jobs, report))
    assert sorted(outcomes) == [Outcome(job, 3, job.dst) for job in jobs]
    assert caplog.messages == ['a warning']


def test_a_part_that_fails_ends_the_others(start):
    with start() as team:
        (failed,) = team.run([job_of('fails')], Report())
        assert (failed.error, failed.exit_code, failed.num_frames) == (
            'it failed', 1, 6,
        )  # fmt: skip
        (done,) = team.run([job_of('ok')], Report())
        assert done.error is None


def test_a_process_that_dies_is_named_and_the_others_carry_on(start):
    with start() as team:
        (failed,) = team.run([job_of('dies')], Report())
        assert 'dies.mp4: the process of a has ended with exit code 3' in failed.error
        assert failed.exit_code == 1
        jobs = [job_of('one'), job_of('two')]
        assert {outcome.error for outcome in team.run(jobs, Report())} == {None}
        jobs = [job_of('dies1'), job_of('two')]
        errors = [outcome.error for outcome in team.run(jobs, Report())]
    assert 'dies1.mp4: the process of b has ended with exit code 3' in errors[0]
    assert 'two.mp4: no process is left' in errors[1]


def interrupt():
    raise KeyboardInterrupt


def test_an_interrupt_ends_all_parts_and_begins_no_other_job(start):
    with start() as team:
        outcomes = list(team.run([job_of('stalls')], Report(interrupt)))
        assert team.is_interrupted
    assert [outcome.exit_code for outcome in outcomes] == [130]
    with start('a') as team:
        jobs = [job_of('one'), job_of('two')]
        outcomes = list(team.run(jobs, Report(interrupt)))
        assert team.is_interrupted
    assert [outcome.job for outcome in outcomes] == jobs[:1]


def test_a_second_interrupt_kills_what_hangs(start):
    begun = time.monotonic()
    with start() as team:
        list(team.run([job_of('hangs1'), job_of('hangs2')], Report(interrupt)))
    assert time.monotonic() - begun < 30


def test_a_network_that_cannot_be_used_is_reported_once(start):
    with pytest.raises(NotUsableError, match='there is no device broken'):
        with start('a,broken,broken'):
            raise AssertionError
