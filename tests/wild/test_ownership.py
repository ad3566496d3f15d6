"""Nothing that a run has not made is touched, and one run writes an output."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from helpers import moving_images, read_clip, write_folder

from fmanet_mm.models.fmanet.window import WindowRestoration
from fmanet_mm.utils.names import place_key, same_place
from fmanet_mm.utils.ownership import InUseError, OwnerLock

REPO = Path(__file__).parents[2]


@pytest.fixture
def interrupted(run_command, monkeypatch):
    """Run the command and interrupt it before a frame."""

    def run(*arguments, before=3):
        refine, calls = WindowRestoration.refine, 0

        def counting(self, window, strips):
            nonlocal calls
            if not window[0].image.is_meta:  # those only plan the memory
                calls += 1
                if calls == before + 1:
                    signal.raise_signal(signal.SIGINT)
            return refine(self, window, strips)

        with monkeypatch.context() as patch:
            patch.setattr(WindowRestoration, 'refine', counting)
            assert run_command(*arguments) == 130

    return run


# Files of others


def test_an_input_with_the_name_of_a_partial_output_stays(
    make_clip, run_command, tmp_path
):
    clip = make_clip('clip.partial.mp4')
    before = clip.read_bytes()
    assert run_command(clip, '--out', tmp_path / 'clip.mp4') == 0
    assert clip.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ['clip.mp4', 'clip.partial.mp4']


def test_a_file_with_the_name_of_a_partial_output_stays(
    make_clip, run_command, interrupted, tmp_path, capsys
):
    clip, out = make_clip('clip.mp4', 6), tmp_path / 'film.mp4'
    theirs = tmp_path / 'film.partial.mp4'
    theirs.write_text('my only copy')
    interrupted(clip, '--out', out)
    ours = tmp_path / 'film.partial-2.mp4'
    assert f'{ours}, --resume continues' in capsys.readouterr().err
    assert len(read_clip(ours)) == 3
    interrupted(clip, '--out', out, '--resume', before=2)  # one is context
    assert len(read_clip(ours)) == 4
    assert run_command(clip, '--out', out, '--resume') == 0
    assert len(read_clip(out)) == 6
    assert theirs.read_text() == 'my only copy'
    assert sorted(os.listdir(tmp_path)) == ['clip.mp4', 'film.mp4', theirs.name]


def test_a_partial_output_that_was_replaced_stays(
    make_clip, run_command, interrupted, tmp_path
):
    clip, out = make_clip('clip.mp4', 6), tmp_path / 'film.mp4'
    interrupted(clip, '--out', out)
    playable = tmp_path / 'film.partial.mp4'
    playable.write_text('something else, under the same name')
    assert run_command(clip, '--out', out, '--resume') == 0
    assert playable.read_text() == 'something else, under the same name'


@pytest.mark.parametrize('name', ['film.mp4', 'film'])
@pytest.mark.parametrize('kind', ['file', 'folder', 'empty', 'link', 'job.json'])
def test_what_is_in_the_way_of_a_work_folder_stays(
    make_clip, run_command, tmp_path, capsys, name, kind
):
    clip, place = make_clip('clip.mp4'), tmp_path / f'.{name}.partial'
    theirs = tmp_path / 'theirs'
    theirs.mkdir()
    (theirs / 'photo.jpg').write_text('mine')
    if kind == 'file':
        place.write_text('mine')
    elif kind == 'link':
        place.symlink_to(theirs)
    else:
        place.mkdir()
        if kind != 'empty':
            (place / ('job.json' if kind == 'job.json' else 'photo.jpg')).write_text(
                '{'
            )
    before = sorted(tmp_path.rglob('*'))
    assert run_command(clip, '--out', tmp_path / name) == 1
    error = capsys.readouterr().err
    assert f'{place} is not a work folder of this program, and is in the way' in error
    assert 'kept as' not in error
    assert sorted(tmp_path.rglob('*')) == before


def test_a_run_that_is_killed_is_resumed_and_leaves_nothing(
    make_clip, network, run_command, tmp_path
):
    clip = write_folder(tmp_path / 'clip', moving_images(40, (16, 24)))
    out, partial = tmp_path / 'out', tmp_path / '.out.partial'
    with command(clip, '--out', out, *network) as process:
        wait_for(lambda: len(list(partial.rglob('*.png'))) > 3, process)
        process.kill()
        process.wait()
    assert (partial / 'owner.json').exists()
    assert run_command(clip, '--out', out, '--resume') == 0
    assert len(os.listdir(out)) == 40
    assert sorted(os.listdir(tmp_path)) == ['clip', 'out']


# Inputs as outputs


@pytest.mark.parametrize('how', ['same', 'dot', 'symlink', 'hard link', 'folder link'])
def test_an_input_is_never_an_output(make_clip, run_command, tmp_path, capsys, how):
    clip = make_clip('clip.mp4')
    before = clip.read_bytes()
    out = {
        'same': clip,
        'dot': f'{tmp_path}/../{tmp_path.name}/./clip.mp4',
        'symlink': tmp_path / 'link.mp4',
        'hard link': tmp_path / 'hard.mp4',
        'folder link': tmp_path / 'place' / 'clip.mp4',
    }[how]
    if how == 'symlink':
        out.symlink_to('clip.mp4')
    elif how == 'hard link':
        os.link(clip, out)
    elif how == 'folder link':
        out.parent.symlink_to(tmp_path)
    with pytest.raises(SystemExit):
        run_command(clip, '--out', out)
    assert 'is an input and would be an output' in capsys.readouterr().err
    assert clip.read_bytes() == before


def test_names_that_differ_in_case_are_one_place_where_the_system_says_so(
    tmp_path, monkeypatch
):
    a, b = tmp_path / 'a.mp4', tmp_path / 'A.MP4'
    assert not same_place(a, b)
    monkeypatch.setattr('fmanet_mm.utils.names._ignores_case', lambda folder: True)
    assert same_place(a, b)
    composed, decomposed = tmp_path / 'caf\u00e9', tmp_path / 'cafe\u0301'
    assert place_key(composed) == place_key(decomposed)


def test_an_output_link_is_followed(make_clip, run_command, tmp_path):
    clip = make_clip('clip.mp4')
    (tmp_path / 'disk').mkdir()
    link = tmp_path / 'out.mp4'
    link.symlink_to('disk/film.mp4')
    assert run_command(clip, '--out', link) == 0
    assert link.is_symlink()
    assert os.listdir(tmp_path / 'disk') == ['film.mp4']
    assert len(read_clip(link)) == 3


def test_a_device_is_no_output(make_clip, run_command, tmp_path, capsys):
    pipe = tmp_path / 'out.mp4'
    os.mkfifo(pipe)
    assert run_command(make_clip('clip.mp4'), '--out', pipe) == 1
    assert 'is a device, not a file' in capsys.readouterr().err
    assert pipe.is_fifo()


# Two runs


def command(*arguments):
    return subprocess.Popen(
        [sys.executable, '-W', 'ignore', '-m', 'fmanet_mm.cli.restore_video',
         *map(str, arguments)],
        cwd=REPO, env=os.environ | dict(OMP_NUM_THREADS='1'), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for(condition, process):
    while process.poll() is None and not condition():
        time.sleep(0.005)
    assert process.poll() is None


@pytest.mark.parametrize('option', [(), ('--resume',)])
def test_a_second_run_refuses_in_one_line(
    make_clip, network, run_command, tmp_path, capsys, option
):
    clip = make_clip('clip.mp4', 80, (16, 24))
    out = tmp_path / 'out.mp4'
    with command(clip, '--out', out, *network) as process:
        wait_for((tmp_path / '.out.mp4.partial/owner.json').exists, process)
        assert run_command(clip, '--out', out, *option) == 1
        captured = capsys.readouterr()
        assert process.poll() is None
        output, _ = process.communicate()
    assert process.returncode == 0
    assert captured.err == (
        f'fmanet-restore: {out} is being written by another run, process '
        f'{process.pid}; wait for it or end it\n'
    )
    assert output == f'{clip} -> {out}, 80 frames\n'
    assert len(read_clip(out)) == 80
    assert sorted(os.listdir(tmp_path)) == ['clip.mp4', 'out.mp4']


def owner(**changes):
    me = psutil.Process()
    return (
        dict(pid=me.pid, host=socket.gethostname(), started=me.create_time(), key='x')
        | changes
    )


def ended_pid():
    with subprocess.Popen([sys.executable, '-c', '']) as process:
        process.wait()
    return process.pid


STALE = {
    'ended': lambda: json.dumps(owner(pid=ended_pid())),
    'another process has its number': lambda: json.dumps(owner(started=12345.0)),
    'empty after a power cut': lambda: '',
    'damaged': lambda: '[1',
}


@pytest.mark.parametrize('kind', STALE)
def test_a_stale_lock_is_taken_over(
    make_clip, run_command, interrupted, tmp_path, kind
):
    clip, out = make_clip('clip.mp4', 6), tmp_path / 'out.mp4'
    interrupted(clip, '--out', out)
    (tmp_path / '.out.mp4.partial/owner.json').write_text(STALE[kind]())
    assert run_command(clip, '--out', out, '--resume') == 0
    assert len(read_clip(out)) == 6


def test_a_lock_of_another_computer_counts_and_can_be_removed(
    make_clip, run_command, interrupted, tmp_path, capsys
):
    clip, out = make_clip('clip.mp4', 6), tmp_path / 'out.mp4'
    interrupted(clip, '--out', out)
    lock = tmp_path / '.out.mp4.partial/owner.json'
    lock.write_text(json.dumps(owner(host='elsewhere')))
    capsys.readouterr()
    assert run_command(clip, '--out', out, '--resume') == 1
    error = capsys.readouterr().err
    assert 'on elsewhere; if it does not run any more, remove' in error
    assert str(lock) in error
    lock.unlink()
    assert run_command(clip, '--out', out, '--resume') == 0


def test_only_one_of_many_gets_a_lock(tmp_path):
    script = """
import sys
from pathlib import Path
from fmanet_mm.utils.ownership import InUseError, OwnerLock
lock = OwnerLock(Path(sys.argv[1]), 'it')
sys.stdin.readline()
try:
    lock.acquire()
    print('got', flush=True)
except InUseError:
    print('no', flush=True)
sys.stdin.readline()
"""
    path = tmp_path / 'owner.json'
    path.write_text(json.dumps(owner(pid=ended_pid())))
    processes = [
        subprocess.Popen(
            [sys.executable, '-c', script, str(path)], text=True, cwd=REPO,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for _ in range(6)
    ]  # fmt: skip
    for process in processes:
        process.stdin.write('\n')
        process.stdin.flush()
    answers = [process.stdout.readline().strip() for process in processes]
    for process in processes:
        process.communicate('\n')
    assert sorted(answers) == ['got', *['no'] * 5]


def test_a_lock_is_released_by_its_owner_only(tmp_path):
    lock, other = (OwnerLock(tmp_path / 'owner.json', 'it') for _ in range(2))
    lock.acquire()
    with pytest.raises(InUseError, match=f'it is being .* process {os.getpid()};'):
        other.acquire()
    other.release()
    assert lock.path.exists()
    lock.release()
    assert not lock.path.exists()
    other.acquire()
