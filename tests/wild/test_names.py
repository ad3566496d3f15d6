"""Names of files and folders as people give them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import moving_images, read_clip, write_folder

from fmanet_mm.utils.annotation import read_annotation, write_annotation
from fmanet_mm.utils.clips import drop_clutter
from fmanet_mm.utils.names import fit_name, max_name_bytes, printable

REPO = Path(__file__).parents[2]
LATIN = os.fsdecode(b'caf\xe9')
HEAVY = 'torch', 'mmengine'


@pytest.fixture
def latin(tmp_path):
    """A name that is not UTF-8."""
    try:
        (tmp_path / LATIN).touch()
        (tmp_path / LATIN).unlink()
    except (OSError, UnicodeError):
        pytest.skip('the file system takes UTF-8 names only')
    return LATIN


def run(*arguments, **options):
    """A process with streams in strict UTF-8."""
    return subprocess.run(
        [sys.executable, '-W', 'ignore', *map(str, arguments)], cwd=REPO,
        capture_output=True, env=os.environ | dict(
            OMP_NUM_THREADS='1', PYTHONIOENCODING='utf-8:strict'), **options,
    )  # fmt: skip


# Names that are not UTF-8


@pytest.mark.parametrize('json_lines', [False, True])
def test_names_that_are_not_utf_8_are_restored(
    tmp_path, network, make_clip, latin, json_lines
):
    clip = make_clip(f'{latin}.mp4')
    folder = write_folder(tmp_path / f'{latin} frames', moving_images(3))
    for path in sorted(folder.iterdir()):
        path.rename(folder / f'{latin}_{path.name}')
    done = run(
        '-m', 'fmanet_mm.cli.restore_video', clip, folder, tmp_path / f'no {latin}',
        '--compare', *network, *['--json'] * json_lines,
    )  # fmt: skip
    assert done.returncode == 1
    assert b'Traceback' not in done.stderr
    out = tmp_path / f'{latin} frames_restored'
    assert sorted(os.listdir(out)) == [f'{latin}_000{n}.png' for n in range(3)]
    assert len(read_clip(tmp_path / f'{latin}_restored.mp4')) == 3
    page = tmp_path / f'{latin}_restored_compare.html'
    assert 'caf\\xe9.mp4 restored' in page.read_text(encoding='utf-8')
    lines = done.stdout.decode().splitlines()
    if json_lines:
        events = [json.loads(line) for line in lines]
        ends = [event for event in events if event['event'] != 'progress']
        assert [event['event'] for event in ends] == ['error', 'done', 'done']
        assert ends[1]['input'] == str(clip)
    else:
        assert len(lines) == 3
        assert 'caf\\udce9_restored.mp4, 3 frames' in lines[0]


def test_an_interrupted_run_with_such_a_name_is_resumed(
    tmp_path, run_command, latin, monkeypatch
):
    from fmanet_mm.models.fmanet.window import WindowRestoration

    folder = write_folder(tmp_path / latin, moving_images(4))
    with monkeypatch.context() as patch:
        patch.setattr(WindowRestoration, 'refine', lambda *_: 1 / 0)
        assert run_command(folder) == 1
    assert run_command(folder, '--resume') == 0
    assert len(read_clip(tmp_path / f'{latin}_restored')) == 4


def test_flow_of_such_names_is_made(tmp_path, latin):
    pytest.importorskip('mmagic')
    clip = tmp_path / latin / 'clips' / latin
    clip.mkdir(parents=True)
    for number, image in enumerate(moving_images(3, (32, 32))):
        (clip / f'{number:08d}.png').write_bytes(cv2.imencode('.png', image)[1])
    done = run(
        'tools/generate_flow.py',
        '--data-root', tmp_path / latin, '--sharp-lr', 'clips', '--out', 'flow',
        '--method', 'dis', '--device', 'cpu',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b'4 flow files written' in done.stdout
    assert len(os.listdir(tmp_path / latin / 'flow' / latin)) == 4


def test_annotation_files_refuse_such_names(tmp_path, latin):
    path = tmp_path / 'train.txt'
    with pytest.raises(ValueError, match=r'clip caf\\xe9 is not UTF-8.*rename'):
        write_annotation(path, {'000': 1, latin: 2})
    assert not path.exists()
    path.write_bytes(b'caf\xe9 2\n')
    with pytest.raises(ValueError, match='train.txt is not UTF-8 text'):
        read_annotation(path)


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_annotation_files_of_windows_are_read(tmp_path, encoding):
    (tmp_path / 'a.txt').write_text('caf\u00e9 3\r\n001\r\n', encoding=encoding)
    assert read_annotation(tmp_path / 'a.txt') == {'caf\u00e9': 3, '001': None}


# Long names


LONG = ['n' * 251, '\u540d' * 83, LATIN * 62]


@pytest.mark.parametrize('stem', LONG)
@pytest.mark.parametrize('suffix', ['.mp4', ''])
def test_outputs_of_long_names_are_shortened(
    tmp_path, run_command, stem, suffix, latin
):
    stem = stem[:80] if suffix == '' and stem.isalpha() and len(stem) == 83 else stem
    clip = tmp_path / f'{stem}{suffix}'
    if suffix:
        from fmanet_mm.video.writer import open_writer

        short = tmp_path / f'short{suffix}'
        with open_writer(short) as writer:
            for image in moving_images(3):
                writer.write(image)
        short.rename(clip)
    else:
        write_folder(clip, moving_images(3))
    assert run_command(clip, '--compare') == 0
    names = [name for name in os.listdir(tmp_path) if name != clip.name]
    (page,) = (name for name in names if name.endswith('.html'))
    (output,) = set(names) - {page}
    assert output.startswith(stem[:20]) and page.startswith(stem[:20])
    assert len(read_clip(tmp_path / output)) == 3
    assert max(len(os.fsencode(name)) for name in names) <= 255
    assert not page.startswith('.')


def test_an_interrupted_run_with_a_long_name_is_resumed(
    tmp_path, run_command, make_clip, monkeypatch, capsys
):
    from fmanet_mm.models.fmanet.window import WindowRestoration

    out = tmp_path / f'{"o" * 251}.mp4'
    clip = make_clip('clip.mp4', 4)
    refine, calls = WindowRestoration.refine, 0

    def fail(self, window, strips):
        nonlocal calls
        calls += not window[0].image.is_meta
        return refine(self, window, strips) if calls < 3 else 1 / 0

    with monkeypatch.context() as patch:
        patch.setattr(WindowRestoration, 'refine', fail)
        assert run_command(clip, '--out', out) == 1
    assert '.partial.mp4, --resume continues' in capsys.readouterr().err
    assert len(os.listdir(tmp_path)) == 3
    assert run_command(clip, '--out', out, '--resume') == 0
    assert sorted(os.listdir(tmp_path)) == ['clip.mp4', out.name]


@pytest.mark.parametrize('name', ['o' * 252 + '.mp4', 'o' * 256, 'o' * 300 + '/a.mp4'])
def test_long_names_that_were_chosen_are_refused_before_any_work(
    tmp_path, run_command, make_clip, capsys, monkeypatch, name
):
    from fmanet_mm.restoration import VideoRestorer

    monkeypatch.setattr(VideoRestorer, 'load', lambda *_, **__: pytest.fail('loaded'))
    assert run_command(make_clip('clip.mp4'), '--out', tmp_path / name) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert 'bytes, at most 255 are possible; choose a shorter one' in line


def test_a_name_that_is_too_long_does_not_end_a_batch(
    tmp_path, run_command, make_clip, capsys
):
    inputs = [make_clip('a.mp4'), tmp_path / ('x' * 300 + '.mp4'), make_clip('b.mp4')]
    assert run_command(*inputs, '--out', tmp_path / 'out') == 1
    assert sorted(os.listdir(tmp_path / 'out')) == ['a.mp4', 'b.mp4']
    assert 'Traceback' not in capsys.readouterr().err


def test_an_error_while_reporting_an_error_ends_nothing(
    tmp_path, run_command, make_clip, monkeypatch
):
    from fmanet_mm.models.fmanet.window import WindowRestoration

    class Unprintable(RuntimeError):
        def __str__(self):
            raise ValueError('no text')

    def fail(self, window, strips):
        if window[0].image.shape[-1] == 14:
            raise Unprintable
        return refine(self, window, strips)

    refine = WindowRestoration.refine
    inputs = [make_clip('a.mp4'), make_clip('b.mp4', size=(10, 16))]
    with monkeypatch.context() as patch:
        patch.setattr(WindowRestoration, 'refine', fail)
        assert run_command(*inputs, '--out', tmp_path / 'out', '--debug') == 1
    assert len(read_clip(tmp_path / 'out' / 'b.mp4')) == 3


def test_a_reader_that_leaves_ends_nothing(tmp_path, network, make_clip):
    clips = [make_clip('a.mp4'), make_clip('b.mp4')]
    with subprocess.Popen(
        [sys.executable, '-W', 'ignore', '-m', 'fmanet_mm.cli.restore_video',
         *map(str, clips), '--out', str(tmp_path / 'out'), *network, '--json'],
        cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        process.stdout.close()
        process.stderr.close()
        assert process.wait() == 0
    assert sorted(os.listdir(tmp_path / 'out')) == ['a.mp4', 'b.mp4']


def test_names_are_shortened_at_characters(tmp_path):
    limit = max_name_bytes(tmp_path)
    name = '\u540d' * 100 + '.mp4'
    short = fit_name(name, tmp_path)
    assert len(os.fsencode(short)) <= limit
    assert short.endswith('.mp4') and printable(short) == short
    assert short != fit_name('\u540d' * 101 + '.mp4', tmp_path)
    assert fit_name('a.mp4', tmp_path) == 'a.mp4'


# Folders, links, containers


def test_a_slash_means_a_folder_of_images(tmp_path, run_command, make_clip):
    clip = make_clip('clip.mp4')
    assert run_command(clip, '--out', f'{tmp_path}/frames.v1/') == 0
    assert sorted(os.listdir(tmp_path / 'frames.v1')) == [
        f'{number:08d}.png' for number in range(3)
    ]


def test_an_output_is_beside_the_link_that_is_the_input(
    tmp_path, run_command, make_clip
):
    clip = make_clip('clip.mp4')
    (tmp_path / 'here').mkdir()
    link = tmp_path / 'here' / 'my film.mp4'
    link.symlink_to(clip)
    assert run_command(link) == 0
    assert (tmp_path / 'here' / 'my film_restored.mp4').is_file()


@pytest.mark.parametrize(
    ('suffix', 'output'), [('.m4v', '.mp4'), ('.3gp', '.mov'), ('.wmv', '.mkv')]
)
def test_containers_that_cannot_be_written_have_a_substitute(
    tmp_path, run_command, make_clip, suffix, output
):
    clip = make_clip('a.mp4').rename(tmp_path / f'clip{suffix}')
    assert run_command(clip) == 0
    assert len(read_clip(tmp_path / f'clip_restored{output}')) == 3


def test_two_outputs_of_one_stem_have_pages_of_their_own(
    tmp_path, run_command, make_clip
):
    clips = [make_clip('a.mp4'), make_clip('a.mkv')]
    assert run_command(*clips, '--out', tmp_path / 'out', '--compare') == 0
    assert len([x for x in os.listdir(tmp_path / 'out') if x.endswith('.html')]) == 2


def test_what_systems_leave_in_folders_is_no_frame(tmp_path, run_command):
    folder = write_folder(tmp_path / 'clip', moving_images(3))
    names = ['._0000.png', 'Thumbs.db', '.DS_Store', 'desktop.ini', 'ehthumbs.db']
    for name in names:
        (folder / name).write_bytes(b'no image')
    (folder / '@eaDir').mkdir()
    assert (
        drop_clutter(os.listdir(folder))
        == drop_clutter([f'{number:04d}.png' for number in range(3)])
        or len(drop_clutter(os.listdir(folder))) == 3
    )
    assert run_command(folder, '--pattern', '*') == 0
    assert len(read_clip(tmp_path / 'clip_restored')) == 3


# Errors come before anything slow


def test_errors_come_before_pytorch(tmp_path, make_clip, network):
    clip = make_clip('clip.mp4')
    bad = tmp_path / 'bad.mp4'
    bad.write_bytes(b'no video')
    busy = tmp_path / '.busy.mp4.partial'
    busy.mkdir()
    long = tmp_path / ('o' * 300 + '.mp4')
    large = write_folder(tmp_path / 'large', [np.zeros((40, 40, 3), np.uint8)])
    commands = {
        'no option --nonsense': [clip, '--nonsense'],
        'no video file': [tmp_path / 'no.mp4'],
        'is not a video file': [bad],
        'more than max_pixels': [clip, '--max-pixels', '10'],
        'more than max_pixels = 200': [
            clip, '--max-pixels', '200', '--compare', '--ground-truth', large,
        ],
        'a video must end in': [clip, '--out', tmp_path / 'a.doc'],
        'there is no checkpoint': [clip, '--checkpoint', tmp_path / 'no.pth'],
        'there is no config': [clip, '--config', 'nonsense'],
        'memory_budget must': [clip, '--memory', '0'],
        'scale must be above 1': [clip, '--scale', '0.5'],
        'is in the way': [clip, '--out', tmp_path / 'busy.mp4'],
        'at most 255 are possible': [clip, '--out', long],
        'codec': [clip, '--codec', 'nonsense'],
    }  # fmt: skip
    script = f"""
import json, sys
from fmanet_mm.cli.restore_video import main
for arguments in json.loads(sys.argv[1]):
    try:
        code = main(arguments)
    except SystemExit as left:
        code = left.code
    print(code, file=sys.stderr)
    assert code in (1, 2), arguments
    slow = set({HEAVY}) & set(sys.modules)
    assert not slow, (arguments, slow)
"""
    lines = [
        [str(word) for word in (*network, *arguments)]
        for arguments in commands.values()
    ]
    done = run('-c', script, json.dumps(lines), text=True)
    assert done.returncode == 0, done.stderr
    for message in list(commands)[1:]:
        assert message in done.stderr
