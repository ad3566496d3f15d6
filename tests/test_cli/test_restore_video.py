import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from helpers import (
    moving_images,
    read_clip,
    same_files,
    tiny_pp_config,
    tiny_pp_network,
    write_folder,
)

from fmanet_mm.cli.arguments import seconds
from fmanet_mm.cli.restore_video import main
from fmanet_mm.models.fmanet.window import WindowRestoration
from fmanet_mm.models.fmanet_pp.inference import FMANetPPInferenceForm
from fmanet_mm.restoration import VideoRestorer
from fmanet_mm.utils import config_root
from fmanet_mm.video.reader import open_frames

REPO = Path(__file__).resolve().parents[2]


def times_of(path):
    """Times of a video file's frames, in seconds."""
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(video=0)]


def audio_of(path):
    """Audio packets, with their times."""
    with av.open(str(path)) as container:
        return [
            (round(float(packet.pts * packet.time_base), 3), bytes(packet))
            for packet in container.demux(audio=0)
            if packet.size
        ]


# What comes out


def test_result_is_next_to_the_input(tmp_path, make_clip, restore, capsys):
    clip = make_clip('clip.mp4', fps=Fraction(30000, 1001))
    assert restore(clip) == 0
    captured = capsys.readouterr()
    out = tmp_path / 'clip_restored.mp4'
    assert captured.out == f'{clip} -> {out}, 4 frames\n'
    with open_frames(out) as frames:
        assert frames.info.fps == Fraction(30000, 1001)
        assert [frame.shape for frame in frames] == 4 * [(20, 28, 3)]
    assert not list(tmp_path.glob('.*'))
    assert 'frame/s' not in captured.err  # no progress bar without a terminal


@pytest.mark.parametrize('suffix', ['mp4', 'mkv'])
@pytest.mark.parametrize(
    'times',
    [
        pytest.param([index / 25 for index in range(20)], id='constant'),
        pytest.param([0, 0.04, 0.12, 0.2, 0.21, 0.5, 0.9], id='variable'),
    ],
)
def test_times_and_audio_are_kept(tmp_path, make_video, restore, suffix, times):
    clip = make_video(f'clip.{suffix}', times, audio=True)
    out = tmp_path / f'out.{suffix}'
    assert restore(clip, '--out', out) == 0
    assert times_of(out) == pytest.approx(times_of(clip), abs=1e-3)
    assert times_of(out) == pytest.approx(times, abs=1e-3)
    assert len(audio_of(clip)) > 5
    assert audio_of(out) == audio_of(clip)


@pytest.mark.parametrize('num_frames', [1, 2, 3])
def test_odd_sizes_and_short_clips_are_exact(tmp_path, make_clip, restore, num_frames):
    clip = make_clip('clip.mp4', num_frames, size=(9, 13))
    assert restore(clip, '--out', tmp_path / 'out.mp4') == 0
    assert [x.shape for x in read_clip(tmp_path / 'out.mp4')] == num_frames * [
        (18, 26, 3)
    ]


def test_images_of_16_bits_stay_so(tmp_path, restore, config_file, checkpoint):
    folder = tmp_path / 'clip'
    folder.mkdir()
    generator = np.random.default_rng(0)
    images = generator.integers(0, 65536, (3, 9, 13, 3), np.uint16)
    for index, image in enumerate(images):
        cv2.imwrite(str(folder / f'{index}.png'), image[..., ::-1])
    assert restore(folder) == 0
    restored = read_clip(tmp_path / 'clip_restored')
    restorer = VideoRestorer.load(checkpoint, config_file, device='cpu')
    assert restored[0].dtype == np.uint16
    np.testing.assert_array_equal(restored, list(restorer.restore_frames(images)))


def test_scale_names_the_final_size(tmp_path, make_clip, restore):
    clip = make_clip('clip.mp4', size=(10, 15))
    assert restore(clip, '--scale', '1.5', '--out', tmp_path / 'out') == 0
    assert {image.shape for image in read_clip(tmp_path / 'out')} == {(15, 22, 3)}


def test_a_part_is_cut_out(tmp_path, make_video, restore):
    clip = make_video('clip.mp4', [index / 10 for index in range(20)], audio=True)
    out = tmp_path / 'out.mp4'
    part = ['--start', '0.5', '--end', '0:01.1']
    assert restore(clip, '--out', out, *part) == 0
    with open_frames(out) as frames:
        times = [float(frame.time) for frame in frames.timed()]
    assert len(times) == 6
    assert np.diff(times) == pytest.approx(0.1, abs=1e-3)
    packets = [packet for _, packet in audio_of(out)]
    assert 0 < len(packets) < len(audio_of(clip))
    assert set(packets) <= {packet for _, packet in audio_of(clip)}

    assert restore(clip, '--out', tmp_path / 'part', *part) == 0
    assert restore(clip, '--out', tmp_path / 'all') == 0
    part, whole = read_clip(tmp_path / 'part'), read_clip(tmp_path / 'all')
    np.testing.assert_array_equal(part[1:-1], whole[6:10])  # the ends lack neighbours


def test_options_reach_the_file(tmp_path, restore):
    folder = write_folder(tmp_path / 'clip', moving_images(3, (16, 24)))
    (folder / 'x.jpg').write_bytes(b'no image')
    out = tmp_path / 'out.mkv'
    options = ['--codec', 'libx264', '--crf', '3', '--pix-fmt', 'yuv444p']
    assert (
        restore(folder, '--out', out, '--fps', '24000/1001', '--pattern', '*.png')
        == restore(folder, '--out', tmp_path / 'x.mkv', *options, '--pattern', '0*')
        == 0
    )
    with av.open(str(out)) as container:
        assert container.streams.video[0].average_rate == Fraction(24000, 1001)
    with av.open(str(tmp_path / 'x.mkv')) as container:
        assert container.streams.video[0].codec_context.pix_fmt == 'yuv444p'


def test_scene_cuts_can_be_ignored(tmp_path, make_video, restore):
    images = [image // 4 for image in moving_images(6, (16, 24))]
    images[3:] = [image + 190 for image in images[3:]]
    clip = make_video('clip.mkv', [index / 25 for index in range(6)], images=images)
    assert restore(clip, '--out', tmp_path / 'shots') == 0
    assert restore(clip, '--out', tmp_path / 'whole', '--no-scene-cuts') == 0
    shots, whole = read_clip(tmp_path / 'shots'), read_clip(tmp_path / 'whole')
    differ = [(a != b).any() for a, b in zip(shots, whole, strict=True)]
    assert differ == [False, False, True, True, False, False]


# Several inputs and what goes wrong


def test_a_bad_input_does_not_stop_the_others(tmp_path, make_clip, restore, capsys):
    bad = tmp_path / 'bad.mp4'
    bad.write_bytes(b'no video')
    inputs = [make_clip('one.mp4', 2), bad, tmp_path / 'no.mp4', make_clip('two', 2)]
    out = tmp_path / 'out'
    assert restore(*inputs, '--out', out) == 1
    assert sorted(os.listdir(out)) == ['one.mp4', 'two']
    captured = capsys.readouterr()
    errors = [x for x in captured.err.splitlines() if x.startswith('fmanet-restore')]
    assert len(errors) == 2
    assert 'bad.mp4 is not a video' in errors[0]
    assert 'no.mp4; check the path' in errors[1]
    assert 'Traceback' not in captured.err
    assert captured.out.splitlines() == [
        f'{inputs[0]} -> {out}/one.mp4, 2 frames',
        f'{bad} -> nothing, not complete',
        f'{inputs[2]} -> nothing, not complete',
        f'{inputs[3]} -> {out}/two, 2 frames',
    ]


def test_debug_shows_where_errors_arise(tmp_path, restore, capsys):
    assert restore(tmp_path / 'no.mp4', '--debug') == 1
    assert 'Traceback' in capsys.readouterr().err


def test_bugs_are_reported_as_such(make_clip, restore, capsys):
    def fail(self, window, strips):
        raise RuntimeError('a\nbug')

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WindowRestoration, 'refine', fail)
        assert restore(make_clip('clip.mp4')) == 1
    assert (
        'RuntimeError: a bug; this is a bug, --debug shows where'
        in capsys.readouterr().err
    )


def test_what_precedes_damage_is_restored(tmp_path, make_clip, restore, capsys):
    clip = Path(make_clip('clip.mkv', 12))
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 3 // 4])
    decodable = []
    with open_frames(clip) as frames, pytest.raises(ValueError, match='ends at frame'):
        decodable.extend(frames)
    assert restore(clip) == 1
    captured = capsys.readouterr()
    out = tmp_path / 'clip_restored.mkv'
    assert len(read_clip(out)) == len(decodable) > 2
    assert f'clip.mkv ends at frame {len(decodable)}:' in captured.err
    assert captured.out == f'{clip} -> {out}, {len(decodable)} frames, not complete\n'


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['clip.mp4', '--start', '2', '--end', '1'], '--end must be later'),
        (['clip.mp4', '--start', '1:99'], "'1:99' is no time"),
        (['clip.mp4', '--fps', '0'], "'0' is no frame rate"),
        (['clip.mp4', '--fps', '30'], '--fps is for folders'),
        (['clip.mp4', '--pattern', '*.png'], '--pattern is for folders'),
        (['--compare', 'clip.mp4', 'b.mp4'], 'put inputs before --compare'),
        (['clip.mp4', '--ground-truth', 'x.mp4'], '--ground-truth is for --compare'),
        (['clip.mp4', '--compare', '--scale', '1.5'], 'needs a whole number'),
        (['clip.mp4', '--out', 'clip.mp4'], 'clip.mp4 is an input'),
        (['clip.mp4', '--max-pixels', '0'], 'max_pixels must be positive'),
        (['clip.mp4', '--dtype', 'fp8'], "invalid choice: 'fp8'"),
        ([], 'required: INPUT'),
    ],
)
def test_commands_that_make_no_sense_are_refused(restore, capsys, arguments, message):
    with pytest.raises(SystemExit) as left:
        restore(*arguments)
    assert left.value.code == 2
    assert message in capsys.readouterr().err


def test_a_network_must_be_named(capsys):
    with pytest.raises(SystemExit) as left:
        main(['clip.mp4'])
    assert left.value.code == 2
    assert 'name the weights of a network with --checkpoint' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--checkpoint', 'absent.pth'], 'there is no checkpoint absent.pth'),
        (['--config', 'absent'], 'there is no config absent'),
        (['--dtype', 'fp16'], 'fp16 needs a GPU'),
        (['--scale', '3'], 'scale must be above 1 and at most 2'),
        (['--memory', '-1'], 'memory_budget must be a positive'),
        (['--checkpoint', ''], 'no checkpoint was given, and random weights'),
    ],
)
def test_networks_that_cannot_be_used_are_refused(
    tmp_path, make_clip, config_file, checkpoint, capsys, arguments, message
):
    clip = make_clip('clip.mp4')
    network = ['--config', config_file, '--checkpoint', checkpoint, '--device', 'cpu']
    assert main([clip, *network, *arguments]) == 2
    captured = capsys.readouterr()
    assert f'fmanet-restore: {message}' in captured.err
    assert captured.out == ''
    assert not (tmp_path / 'clip_restored.mp4').exists()


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('83.5', 83.5),
        ('1:23.5', 83.5),
        ('01:00:00.25', 3600.25),
        ('0', 0),
        ('90', 90),
        ('75:00', 4500),
    ],
)
def test_times_are_read(text, value):
    assert seconds(text) == Fraction(value)


# Interrupted


def raise_after(monkeypatch, number, what):
    """Send a signal to the process when ``number`` frames are done."""

    def count(calls):
        if calls == number + 1:
            signal.raise_signal(what)

    call_at_each_frame(monkeypatch, count)


def call_at_each_frame(monkeypatch, function):
    """Call a function with the number of a frame before it is restored, from 1."""
    refine = WindowRestoration.refine
    calls = 0

    def counting(self, window, strips):
        nonlocal calls
        if not window[0].image.is_meta:  # those only plan the memory
            calls += 1
            function(calls)
        return refine(self, window, strips)

    monkeypatch.setattr(WindowRestoration, 'refine', counting)


@pytest.mark.parametrize('what', [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_a_file_that_can_be_played(
    tmp_path, make_clip, restore, capsys, what
):
    clip = make_clip('clip.mp4', 8)
    out = tmp_path / 'out'
    with pytest.MonkeyPatch.context() as patch:
        raise_after(patch, 5, what)
        assert restore(clip, make_clip('other.mp4'), '--out', out) == 130
    kept = out / 'clip.partial.mp4'
    captured = capsys.readouterr()
    assert f'interrupted; the finished part is kept as {kept}, --resume' in captured.err
    assert captured.out == f'{clip} -> {kept}, 5 frames, not complete\n'
    assert not (out / 'clip.mp4').exists()
    assert not (out / 'other.mp4').exists()
    assert len(read_clip(kept)) == 5

    assert restore(clip, '--out', tmp_path / 'whole.mp4') == 0
    assert restore(clip, '--out', out / 'clip.mp4', '--resume') == 0
    assert os.listdir(out) == ['clip.mp4']
    assert times_of(out / 'clip.mp4') == times_of(tmp_path / 'whole.mp4')
    # Segments are compressed separately, so not every bit is the same.
    difference = np.subtract(
        read_clip(out / 'clip.mp4'), read_clip(tmp_path / 'whole.mp4'), dtype=int
    )
    assert np.abs(difference).mean() < 4


def test_interrupted_while_loading(make_clip, restore, capsys, monkeypatch):
    def interrupt(*args, **kwargs):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(VideoRestorer, 'load', interrupt)
    assert restore(make_clip('clip.mp4')) == 130
    assert capsys.readouterr().err.endswith('fmanet-restore: interrupted\n')


def test_the_signal_handler_is_restored(make_clip, restore):
    before = signal.getsignal(signal.SIGTERM)
    assert restore(make_clip('clip.mp4', 1)) == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_resumes_after_being_killed(tmp_path, restore, config_file, checkpoint):
    folder = write_folder(tmp_path / 'clip', moving_images(60, (16, 24)))
    out, partial = tmp_path / 'out', tmp_path / '.out.partial'
    process = subprocess.Popen(
        [sys.executable, REPO / 'tools/restore_video.py', folder, '--out', out,
         '--config', config_file, '--checkpoint', checkpoint, '--device', 'cpu'],
        env=os.environ | dict(OMP_NUM_THREADS='1'),
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None and len(list(partial.rglob('*.png'))) < 10:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    done = len(list(partial.rglob('*.png')))

    calls = []
    with pytest.MonkeyPatch.context() as patch:
        call_at_each_frame(patch, calls.append)
        assert restore(folder, '--out', out, '--resume') == 0
    assert len(calls) <= 60 - done + 3
    assert restore(folder, '--out', tmp_path / 'whole') == 0
    assert len(os.listdir(out)) == 60
    assert same_files(out, tmp_path / 'whole')


def test_resuming_leaves_complete_outputs(tmp_path, make_clip, restore, capsys):
    inputs = make_clip('one.mp4', 2), make_clip('two.mp4', 2)
    assert restore(inputs[0]) == 0
    first = tmp_path / 'one_restored.mp4'
    before = first.stat()
    capsys.readouterr()
    assert restore(*inputs, '--resume') == 0
    assert first.stat() == before
    assert len(read_clip(tmp_path / 'two_restored.mp4')) == 2
    assert capsys.readouterr().out.splitlines() == [
        f'{inputs[0]} -> {first}',
        f'{inputs[1]} -> {tmp_path}/two_restored.mp4, 2 frames',
    ]


# Before a network is loaded


@pytest.fixture
def unloadable(monkeypatch):
    """Loading a network is noted, and fails."""
    calls = []

    def load(*arguments, **options):
        calls.append(arguments)
        raise ValueError('loaded')

    monkeypatch.setattr(VideoRestorer, 'load', load)
    return calls


def test_inputs_are_opened_before_a_network_is_loaded(
    tmp_path, make_clip, restore, capsys, unloadable
):
    bad = tmp_path / 'bad.mp4'
    bad.write_bytes(b'no video')
    (tmp_path / 'empty').mkdir()
    inputs = [tmp_path / 'no.mp4', bad, tmp_path / 'empty']
    assert restore(*inputs) == 1
    assert unloadable == []
    errors = capsys.readouterr().err
    for message in ('no.mp4', 'bad.mp4 is not a video', 'empty'):
        assert message in errors

    assert restore(*inputs, make_clip('clip.mp4')) == 2
    assert len(unloadable) == 1
    errors = capsys.readouterr().err
    assert errors.index('bad.mp4 is not a video') < errors.index('loaded')


def test_limits_are_checked_before_a_network_is_loaded(
    make_clip, restore, capsys, unloadable
):
    assert restore(make_clip('clip.mp4'), '--max-pixels', '100') == 1
    assert unloadable == []
    assert 'max_pixels = 100' in capsys.readouterr().err


# Other networks


def test_bicubic_needs_no_checkpoint(tmp_path, make_clip):
    """A network of MMagic's models, without weights."""
    clip = make_clip('clip', 3)
    arguments = [clip, '--config', 'baselines/bicubic', '--device', 'cpu', '--compare']
    assert main([*arguments, '--out', str(tmp_path / 'out')]) == 0
    for image, restored in zip(
        read_clip(clip), read_clip(tmp_path / 'out'), strict=True
    ):
        enlarged = cv2.resize(image, (56, 40), interpolation=cv2.INTER_CUBIC)
        assert np.abs(restored - enlarged.astype(float)).mean() < 6
    text = (tmp_path / 'out_compare.html').read_text()
    assert '3 frames, from 14&times;10 to 56&times;40 pixels' in text
    assert 'flow to ' not in text


def test_the_demo_restores_by_its_file_alone(tmp_path, make_clip):
    weights = config_root() / 'demo' / 'fmanet_demo.safetensors'
    arguments = [make_clip('clip.mp4', 2), '--out', str(tmp_path / 'out')]
    assert main([*arguments, '--checkpoint', str(weights), '--device', 'cpu']) == 0
    assert [x.shape for x in read_clip(tmp_path / 'out')] == 2 * [(40, 56, 3)]


def test_a_network_of_levels_restores_and_resumes_videos(tmp_path, make_clip):
    network = tiny_pp_network()
    torch.save(network.state_dict(), tmp_path / 'pp.pth')
    tiny_pp_config().dump(tmp_path / 'pp.py')
    clip = make_clip('clip.mp4', 6)
    arguments = [clip, '--config', str(tmp_path / 'pp.py'), '--compare']
    arguments += ['--checkpoint', str(tmp_path / 'pp.pth'), '--device', 'cpu']
    whole, out = tmp_path / 'whole', tmp_path / 'out'
    assert main([*arguments, '--out', str(whole)]) == 0
    assert 'flow to frame +1' in (tmp_path / 'whole_compare.html').read_text()
    decode, calls = FMANetPPInferenceForm.decode, 0

    def interrupt(self, state, strips):
        nonlocal calls
        calls += not state.image.is_meta  # those only plan the memory
        if calls == 4:
            signal.raise_signal(signal.SIGINT)
        return decode(self, state, strips)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FMANetPPInferenceForm, 'decode', interrupt)
        assert main([*arguments, '--out', str(out), '--resume']) == 130
    assert main([*arguments, '--out', str(out), '--resume']) == 0
    assert same_files(out, whole)


def test_weights_of_another_family_are_named(config_file, tmp_path, make_clip, capsys):
    torch.save(tiny_pp_network().state_dict(), tmp_path / 'pp.pth')
    arguments = [make_clip('clip', 1), '--checkpoint', str(tmp_path / 'pp.pth')]
    assert main([*arguments, '--config', config_file, '--device', 'cpu']) != 0
    assert 'is of FMA-Net++, the config of FMA-Net' in capsys.readouterr().err


# Reports


def test_reports_in_json(tmp_path, make_clip, restore, capsys):
    bad = tmp_path / 'bad.mp4'
    bad.write_bytes(b'no video')
    clip = make_clip('clip.mp4', 3)
    assert restore(clip, bad, '--json') == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    error, *progress, done = lines  # the bad file is found before anything is restored
    assert {line['event'] for line in progress} == {'progress'}
    assert (progress[0]['frames'], progress[-1]['frames']) == (0, 3)
    assert progress[-1]['total'] == 3
    assert progress[-1]['fps'] > 0
    assert 0.01 < progress[-1]['memory_gib'] < 100
    assert done['event'] == 'done'
    assert done['output'] == str(tmp_path / 'clip_restored.mp4')
    assert error['event'] == 'error'
    assert error['input'] == str(bad)
    assert 'bad.mp4 is not a video' in error['message']


def test_the_process_says_how_it_went(tmp_path, config_file, checkpoint):
    """From the command line: standard output is for results, also with --json."""
    clip = write_folder(tmp_path / 'clip', moving_images(2, (16, 24)))
    cv2.imwrite(str(clip / '0002.png'), np.zeros((16, 24, 4), np.uint8))  # a warning
    command = [
        sys.executable, '-m', 'fmanet_mm.cli.restore_video', clip, tmp_path / 'no.mp4',
        '--config', config_file, '--checkpoint', checkpoint, '--json',
    ]  # fmt: skip
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=REPO,
        env=os.environ | dict(OMP_NUM_THREADS='1'),
    )  # fmt: skip
    assert result.returncode == 1, result.stderr
    events = [json.loads(line)['event'] for line in result.stdout.splitlines()]
    assert (events[0], events[-1]) == ('error', 'done')
    assert set(events[1:-1]) == {'progress'}
    assert 'alpha' in result.stderr
    assert len(read_clip(tmp_path / 'clip_restored')) == 3


# Compared


@pytest.mark.parametrize('name', ['clip.mp4', 'frames'])
def test_compares_on_a_page(tmp_path, make_clip, restore, capsys, name):
    assert restore(make_clip(name, 3), '--compare') == 0
    page = tmp_path / f'{Path(name).stem}_restored_compare.html'
    text = page.read_text()
    assert '3 frames, from 14&times;10 to 28&times;20 pixels' in text
    assert 'flow to ' in text
    assert 'degradation kernel, ' in text
    assert 'Ground truth' not in text
    assert f'compared in {page}' in capsys.readouterr().out


def test_compares_with_the_ground_truth(tmp_path, make_clip, restore):
    clip = make_clip('clip', 4)
    truth = write_folder(tmp_path / 'truth', moving_images(4, (20, 28)))
    page = tmp_path / 'page.html'
    part = ['--start', '0.04', '--end', '0.12']
    options = ['--compare', page, '--ground-truth', truth]
    assert restore(clip, '--out', tmp_path / 'out', *options, *part) == 0
    text = page.read_text()
    assert '2 frames' in text
    assert 'Ground truth' in text
    assert 'PSNR' in text


def test_a_short_ground_truth_is_named_and_nothing_lost(
    tmp_path, make_clip, restore, capsys
):
    truth = write_folder(tmp_path / 'truth', moving_images(2, (20, 28)))
    clip = make_clip('clip', 4)
    assert restore(clip, '--compare', '--ground-truth', truth) == 1
    captured = capsys.readouterr()
    assert f'truth has fewer frames than {clip}; ' in captured.err
    assert len(read_clip(tmp_path / 'clip_restored')) == 4
    assert captured.out == f'{clip} -> {clip}_restored, 4 frames, not complete\n'


def test_a_damaged_input_is_compared_as_far_as_it_goes(tmp_path, restore, capsys):
    folder = write_folder(tmp_path / 'clip', moving_images(5, (16, 24)))
    (folder / '0003.png').write_bytes(b'damaged')
    assert restore(folder, '--compare') == 1
    assert 'ends at frame 3' in capsys.readouterr().err
    assert '3 frames' in (tmp_path / 'clip_restored_compare.html').read_text()
