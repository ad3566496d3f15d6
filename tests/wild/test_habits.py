"""What people do around a run: pipes, closed terminals, inputs that change."""

import errno
import json
import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import psutil
import pytest
from helpers import moving_images, read_clip, write_folder
from PIL import Image

from fmanet_mm.cli.jobs import Job
from fmanet_mm.cli.reports import Outcome, TextReport
from fmanet_mm.cli.restore_video import main
from fmanet_mm.utils.ownership import InUseError, OwnerLock
from fmanet_mm.video.limits import Limits
from fmanet_mm.video.options import ReadOptions, Resume
from fmanet_mm.video.reader import open_frames
from fmanet_mm.video.writer import open_writer

REPO = Path(__file__).parents[2]
KEEP = Resume(keep_partial=True)
RESUME = Resume(enabled=True)


# Inputs that change


def copy(clip, out, resume, stop=None, **options):
    """Copy the frames of a clip, as many as are wanted before an interruption."""
    with open_frames(clip, ReadOptions(**options)) as frames:
        with open_writer(out, frames.info, resume=resume) as writer:
            first = writer.missing[0].first
            for number, frame in enumerate(frames):
                if number == stop:
                    raise KeyboardInterrupt
                if number >= first:
                    writer.write(frame)


def rename(clip):
    (clip / '0003.png').rename(clip / '0004.png')


def replace(clip):
    (clip / '0002.png').write_bytes((clip / '0003.png').read_bytes())
    os.utime(clip / '0002.png', (1e9, 1e9))


@pytest.mark.parametrize(
    ('change', 'options', 'difference'),
    [
        (rename, {}, 'source_files'),
        (replace, {}, 'source_files'),
        (None, dict(pattern='*[0-2].png'), 'source_files'),
        (None, dict(to_srgb=True), 'to_srgb'),
        (None, dict(stop_at_damage=True), 'stop_at_damage'),
    ],
)
@pytest.mark.parametrize('name', ['out', 'out.mkv'])
def test_a_run_is_not_resumed_with_another_input(
    tmp_path, change, options, difference, name
):
    clip, out = write_folder(tmp_path / 'clip', moving_images(4)), tmp_path / name
    with pytest.raises(KeyboardInterrupt):
        copy(clip, out, KEEP, stop=2)
    if change:
        change(clip)
    with pytest.raises(ValueError, match=f'cannot resume .*{difference} was'):
        copy(clip, out, RESUME, **options)
    assert not out.exists()


def test_a_video_file_that_was_replaced_is_not_resumed(tmp_path, make_clip):
    clip, out = make_clip('clip.mkv', 4), tmp_path / 'out'
    with pytest.raises(KeyboardInterrupt):
        copy(clip, out, KEEP, stop=2)
    os.utime(clip, (1e9, 1e9))
    with pytest.raises(ValueError, match='changed 2001-09-09 01:46:40 UTC'):
        copy(clip, out, RESUME)


@pytest.mark.parametrize('how', ['removed', 'emptied'])
def test_a_source_that_disappears_costs_no_picture(tmp_path, make_clip, caplog, how):
    clip, out = make_clip('clip.mkv', 4), tmp_path / 'out.mkv'
    with open_frames(clip) as frames:
        images = list(frames)
        with open_writer(out, frames.info) as writer:
            for image in images:
                writer.write(image)
            clip.unlink() if how == 'removed' else clip.write_bytes(b'')
    assert 'clip.mkv was removed or shortened' in caplog.text
    assert len(read_clip(out)) == 4


def test_a_disk_that_is_full_at_the_end_loses_nothing(
    tmp_path, make_clip, caplog, monkeypatch
):
    clip, out = make_clip('clip.mkv', 4), tmp_path / 'out.mkv'
    opened = av.open

    def refuse(file, *arguments, **options):
        if 'joined' in str(file):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(file, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(av, 'open', refuse)
        with pytest.raises(OSError, match='out.mkv cannot be written: No space left'):
            copy(clip, out, KEEP)
    assert 'are kept, but cannot be played: ' in caplog.text
    assert 'lost' not in caplog.text
    copy(clip, out, RESUME)
    assert len(read_clip(out)) == 4


# Folders of images


def test_images_of_one_stem_are_all_kept(tmp_path):
    from fmanet_mm.restoration import VideoRestorer

    clip = write_folder(tmp_path / 'clip', moving_images(2))
    cv2.imwrite(str(clip / '0001.jpg'), moving_images(1)[0])
    restorer = VideoRestorer.load(None, REPO / 'configs/baselines/bicubic.py')
    restorer.restore_video(clip, tmp_path / 'out')
    names = sorted(os.listdir(tmp_path / 'out'))
    assert names == ['0000.png', '0001.jpg.png', '0001.png.png']


@pytest.mark.parametrize(
    ('numbers', 'gaps'),
    [
        ([1, 2, 3, 7, 8, 10], '4 to 6, 9;'),
        ([98, 99, 100, 101], None),
        ([0, 10, 20, 30], None),
        ([5], None),
    ],
)
def test_numbers_that_are_missing_are_named(tmp_path, caplog, numbers, gaps):
    (tmp_path / 'v2').mkdir()
    for number in numbers:
        cv2.imwrite(
            str(tmp_path / f'v2/shot3_{number}_x.png'), np.zeros((2, 2, 3), np.uint8)
        )
    with open_frames(tmp_path / 'v2') as frames:
        assert len(list(frames)) == len(numbers)
    if gaps is None:
        assert not caplog.messages
    else:
        assert f'lacks the images numbered {gaps}' in caplog.text


def test_images_that_are_not_read_are_named(tmp_path, caplog):
    clip = write_folder(tmp_path / 'clip', moving_images(2))
    for name in ('0002.GIF', '0003.heic', '._0004.gif', 'notes.txt'):
        (clip / name).write_bytes(b'')
    with open_frames(clip) as frames:
        assert len(list(frames)) == 2
    assert caplog.messages == [
        f'{clip} holds 2 images of formats that are not read, left out: 0002.GIF, '
        '0003.heic'
    ]


def test_bits_that_are_lost_are_said(tmp_path, caplog):
    clip = write_folder(tmp_path / 'clip', moving_images(2))
    cv2.imwrite(str(clip / '0002.png'), np.full((10, 14, 3), 25700, np.uint16))
    with open_frames(clip, ReadOptions(keep_depth=True)) as frames:
        assert (list(frames)[2] == 100).all()
    assert '0002.png has 16 bits, the first image 8' in caplog.text


def test_notes_that_are_lost_are_said_once(tmp_path, caplog):
    (tmp_path / 'clip').mkdir()
    for number in range(4):
        exif = Image.Exif()
        exif[0x0112] = 1
        if number:
            exif[0x0132] = '2020:02:02 20:20:20'
        Image.new('RGB', (8, 8)).save(tmp_path / f'clip/{number}.jpg', exif=exif)
    with open_frames(tmp_path / 'clip') as frames:
        assert len(list(frames)) == 4
    assert caplog.messages == [
        f'{tmp_path}/clip/1.jpg has EXIF data, such as the date, which are left out'
    ]


# Names and places


@pytest.mark.parametrize('kind', ['pipe', 'device'])
def test_a_pipe_is_no_input(tmp_path, run_command, capsys, kind):
    path = Path(os.devnull)
    if kind == 'pipe':
        path = tmp_path / 'pipe'
        os.mkfifo(path)
    assert run_command(path, '--out', tmp_path / 'out.mp4') == 1
    assert f'{path} is a pipe or a device; ' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['', '--out', 'out'], 'the name is empty'),
        (['clip', '--out', ''], 'the name is empty'),
        (['-'], 'neither read from standard input'),
        (['clip', '--out', '-'], 'nor written to standard output'),
        (['-clip.mp4'], '-clip.mp4 is taken for options; write the file as ./-clip'),
        (['clip', '--out', '-clip.mp4'], '-clip.mp4 is taken for options'),
        (['clip', '--fps', '1e-9'], 'is no frame rate'),
        (['clip', '--max-seconds', 'nan'], 'max_seconds must be positive'),
        (['clip', '--compare', 'page.html'], 'page.html is a folder'),
    ],
)
def test_arguments_that_mean_something_else(
    tmp_path, run_command, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    Path('-clip.mp4').touch()
    Path('page.html').mkdir()
    write_folder(tmp_path / 'clip', moving_images(1))
    with pytest.raises(SystemExit):
        run_command(*arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize('fps', [0, -1, Fraction(1, 10**6)])
def test_frame_rates_are_positive(fps):
    with pytest.raises(ValueError, match='folder_fps must be at least'):
        ReadOptions(folder_fps=fps)


def test_limits_are_numbers():
    with pytest.raises(ValueError, match='max_seconds must be positive'):
        Limits(max_seconds=float('nan'))


def test_places_that_cannot_be_written_are_refused_before_the_work(
    tmp_path, make_clip, run_command, monkeypatch, capsys
):
    from fmanet_mm.restoration import VideoRestorer

    monkeypatch.setattr(VideoRestorer, 'load', lambda *_, **__: pytest.fail('loaded'))
    clip = make_clip('clip.mp4')
    assert run_command(clip, '--out', clip / 'a.mp4') == 1
    monkeypatch.setattr(os, 'access', lambda path, mode: path != tmp_path)
    assert run_command(clip, '--out', tmp_path / 'new' / 'b.mp4') == 1
    assert capsys.readouterr().err.splitlines() == [
        f'fmanet-restore: {clip}/a.mp4 cannot be written: Not a directory',
        f'fmanet-restore: {tmp_path}/new/b.mp4 cannot be written: Permission denied',
    ]
    assert sorted(os.listdir(tmp_path)) == ['clip.mp4']


def test_a_result_is_a_line_whatever_its_name(capsys):
    job = Job(Path('a\nb\x1b[31m.mp4'), Path('\u540d.mp4'), None)
    TextReport(lambda: 0).summary([Outcome(job, 3, job.dst)])
    assert capsys.readouterr().out == 'a\\x0ab\\x1b[31m.mp4 -> \u540d.mp4, 3 frames\n'


# Terminals and clocks


@pytest.mark.parametrize('name', ['SIGHUP', 'SIGTERM', 'SIGINT'])
def test_signals_that_end_a_run_are_like_ctrl_c(
    make_clip, run_command, monkeypatch, capsys, name
):
    number = getattr(signal, name, None) or pytest.skip('not on this system')
    monkeypatch.setattr(
        'fmanet_mm.cli.run.load_restorer', lambda _: signal.raise_signal(number)
    )
    # The tests themselves may run under nohup.
    is_interrupt = number == signal.SIGINT
    default = signal.default_int_handler if is_interrupt else signal.SIG_DFL
    before = signal.signal(number, default)
    try:
        assert run_command(make_clip('clip.mp4')) == 130
        assert capsys.readouterr().err == 'fmanet-restore: interrupted\n'
        assert signal.getsignal(number) == default
    finally:
        signal.signal(number, before)


def test_a_run_that_ignores_its_terminal_goes_on(make_clip, run_command, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    seen = []
    monkeypatch.setattr(
        'fmanet_mm.cli.run.load_restorer',
        lambda _: seen.append(signal.getsignal(signal.SIGHUP)) or 1 / 0,
    )
    try:
        run_command(make_clip('clip.mp4'))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert seen == [signal.SIG_IGN]


def test_ctrl_c_at_the_very_beginning(monkeypatch, capsys):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr('fmanet_mm.cli.arguments.parse_args', interrupt)
    assert main(['clip.mp4']) == 130
    assert capsys.readouterr().err == 'fmanet-restore: interrupted\n'


def test_no_file_gets_the_number_of_a_closed_stream():
    script = """
import os
from fmanet_mm.cli.restore_video import main
try:
    main(['--help'])
except SystemExit:
    places = [os.fstat(number).st_rdev for number in range(3)]
    os._exit(places != 3 * [os.stat(os.devnull).st_rdev])
"""
    python = f'{sys.executable} -c "$0" <&- >&- 2>&-'
    assert subprocess.run(['sh', '-c', python, script], cwd=REPO).returncode == 0


def test_a_clock_that_is_set_takes_no_lock(tmp_path, monkeypatch):
    lock, other = (OwnerLock(tmp_path / 'owner.json', 'it') for _ in range(2))
    lock.acquire()
    if json.loads(lock.path.read_bytes())['life'] is None:
        pytest.skip('this system does not count from its boot')
    created = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, 'create_time', lambda p: created(p) + 3600)
    with pytest.raises(InUseError):
        other.acquire()
