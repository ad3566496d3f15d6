"""Methods side by side: restored, measured and shown alike."""

import json
import re
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers import tiny_config, tiny_network

from fmanet_mm.evaluation import Method, compare_methods, evaluate_folders
from fmanet_mm.evaluation.comparison import StopwatchRestorer
from fmanet_mm.models import BicubicUpsampling
from fmanet_mm.restoration import VideoRestorer, window_restorer

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/compare_methods.py'
SIZE = 20, 24
MEASURES = ('PSNR', 'SSIM', 'tOF')


@pytest.fixture
def clips(write_frames, tmp_path):
    """Two clips: blurry LR frames and sharp HR frames."""
    rng = np.random.default_rng(0)
    for clip in ('000', '011'):
        sharp = [
            cv2.resize(rng.integers(0, 256, (9, 9, 3), np.uint8), (96, 80))
            for _ in range(3)
        ]
        write_frames(tmp_path / 'sharp' / clip, sharp)
        blurry = [cv2.resize(frame, SIZE[::-1]) for frame in sharp]
        write_frames(tmp_path / 'blurry' / clip, blurry)
    return tmp_path / 'blurry', tmp_path / 'sharp'


@pytest.fixture
def tiny(tmp_path):
    """Config and checkpoint of a tiny network."""
    config, checkpoint = tmp_path / 'tiny.py', tmp_path / 'tiny.pth'
    tiny_config(scale=4).dump(config)
    weights = tiny_network(scale=4).state_dict()
    torch.save(dict(state_dict=weights), checkpoint)
    return str(config), str(checkpoint)


def read_page(path):
    text = path.read_text()
    return json.loads(re.search('id="data">(.*?)</script>', text, re.S)[1])


def test_a_set_by_a_network_bicubic_and_results_of_another(clips, tiny, tmp_path):
    inputs, targets = clips
    methods = [
        Method.parse('tiny', *tiny),
        Method.parse('bicubic', 'baselines/bicubic'),
        Method.parse('truth </script>', str(targets)),
    ]
    assert [method.results for method in methods] == [None, None, str(targets)]
    out = tmp_path / 'out'
    comparison = compare_methods(
        methods, inputs, out, targets, measures=MEASURES, device='cpu'
    )
    restorer = VideoRestorer.load(None, 'baselines/bicubic', device='cpu')
    for clip in inputs.iterdir():
        restorer.restore_video(clip, tmp_path / 'expected' / clip.name)
    expected = evaluate_folders(tmp_path / 'expected', targets, motion=None)
    assert comparison.reports['bicubic'].frames == expected.frames
    assert comparison.reports['truth </script>'].overall()['PSNR'] == np.inf
    parameters = sum(
        weight.numel()
        for name, weight in tiny_network(scale=4).named_parameters()
        if 'anchor' not in name
    )
    costs = comparison.costs
    assert [cost.parameters for cost in costs.values()] == [parameters, 0, None]
    assert costs['tiny'].seconds > 0 and costs['truth </script>'].seconds is None
    peak = VideoRestorer.load(*tiny[::-1], device='cpu').restorer.peak_bytes(*SIZE)
    assert costs['tiny'].memory_bytes == peak

    header, _, *rows = (out / 'comparison.md').read_text().splitlines()
    assert header == (
        '| method | parameters (M) | s/frame | memory (GiB) | PSNR | SSIM | tOF |'
    )
    assert rows[0].startswith(f'| tiny | {parameters / 1e6:.2f} | ')
    assert rows[2] == '| truth </script> | - | - | - | inf | 1.0000 | - |'
    assert rows[4].startswith('- protocol published')
    assert re.match(r'- computed in fp32 by \d+ threads? of the CPU; memory', rows[5])
    values = json.loads((out / 'comparison.json').read_text())
    assert values['methods']['tiny']['parameters'] == parameters
    assert values['methods']['bicubic']['overall']['frames'] == 2

    for clip in ('000', '011'):
        page = read_page(out / f'compare_{clip}.html')
        names = ['Input', 'tiny', 'bicubic', 'truth </script>', 'Ground truth']
        assert [layer['name'] for layer in page['layers']] == names
        assert page['right'] == page['layers'][3]['key']
        assert len(page['frames']) == 3
        assert page['metrics']['columns'][::2] == [
            f'{name}, PSNR (dB)' for name in names[1:-1]
        ]
        assert page['frames'][0]['metrics'][4:] == ['∞', '1.0000']


def test_the_command_with_one_clip_and_no_ground_truth(
    clips, tmp_path, monkeypatch, capsys
):
    clip = clips[0] / '000'
    out = tmp_path / 'out'
    words = [TOOL, clip, '--method', 'bicubic', 'baselines/bicubic', '--device', 'cpu']
    monkeypatch.setattr(sys, 'argv', [*map(str, words), '--out', str(out)])
    runpy.run_path(str(TOOL), run_name='__main__')
    told = capsys.readouterr().out
    assert '| method | parameters (M) | s/frame | memory (GiB) |\n' in told
    assert '| bicubic | 0.00 | ' in told and 'protocol' not in told
    assert len(list((out / 'results/bicubic').iterdir())) == 3
    page = read_page(out / 'compare.html')
    assert [layer['name'] for layer in page['layers']] == ['Input', 'bicubic']
    assert page['metrics'] is None


def test_results_that_lack_the_ends_are_compared_where_all_have_frames(clips, tmp_path):
    """As the published protocol allows."""
    inputs, targets = clips
    for clip in targets.iterdir():
        folder = tmp_path / 'few' / clip.name
        folder.mkdir(parents=True)
        name = '00000001.png'
        (folder / name).write_bytes((clip / name).read_bytes())
    (tmp_path / 'list.txt').write_text('011\n')
    comparison = compare_methods(
        [Method('few', results=tmp_path / 'few'), Method('all', results=targets)],
        inputs,
        tmp_path / 'out',
        targets,
        measures=['PSNR'],
        ann_file=tmp_path / 'list.txt',
    )
    assert [*comparison.reports['few'].frames] == ['011']
    assert len(read_page(tmp_path / 'out/compare_011.html')['frames']) == 1
    assert not (tmp_path / 'out/compare_000.html').exists()


def test_lpips_is_left_out_with_a_note_where_its_weights_are_missing(
    clips, tmp_path, monkeypatch
):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    inputs, targets = (side / '000' for side in clips)
    methods = [Method('truth', results=targets)]
    comparison = compare_methods(methods, inputs, tmp_path / 'out', targets)
    assert comparison.reports['truth'].measures == MEASURES
    assert '\n- LPIPS is left out: LPIPS needs the weights' in comparison.table()


@pytest.mark.parametrize(
    ('sources', 'kind'),
    [
        (['demo.safetensors'], dict(checkpoint='demo.safetensors')),
        (['baselines/bicubic'], dict(config='baselines/bicubic')),
        (['a.py', 'b.pth'], dict(config='a.py', checkpoint='b.pth')),
    ],
)
def test_methods_as_the_command_is_given_them(sources, kind):
    assert Method.parse('name', *sources) == Method('name', **kind)


def test_methods_that_cannot_be_compared_are_named(clips, tmp_path):
    for sources in ((), ('a', 'b', 'c')):
        with pytest.raises(ValueError, match='method x needs a folder of results'):
            Method.parse('x', *sources)
    inputs, targets = clips
    twice = [Method('A*', results=targets), Method('a', results=targets)]
    with pytest.raises(ValueError, match=r'different names, got A\*, a'):
        compare_methods(twice, inputs, tmp_path / 'out')
    with pytest.raises(ValueError, match='no method to compare'):
        compare_methods([], inputs, tmp_path / 'out')
    (tmp_path / 'list.txt').write_text('999\n')
    with pytest.raises(FileNotFoundError, match='lacks 1 of the 1 clips .* 999'):
        compare_methods(
            twice[:1], inputs, tmp_path / 'out', ann_file=tmp_path / 'list.txt'
        )
    assert not (tmp_path / 'out').exists()


def test_what_does_not_fit_is_found_before_anything_is_restored(clips, tmp_path):
    inputs, targets = clips
    out = tmp_path / 'out'
    bicubic = Method('bicubic', config='baselines/bicubic')
    with pytest.raises(ValueError, match='000 is one clip, but the inputs are several'):
        compare_methods([bicubic], inputs, out, targets / '000')
    one = Method('one', results=targets)
    with pytest.raises(
        ValueError, match='sharp is several clips, but the inputs are one'
    ):
        compare_methods([bicubic, one], inputs / '000', out)
    (tmp_path / 'few' / '000').mkdir(parents=True)
    few = Method('few', results=tmp_path / 'few')
    with pytest.raises(FileNotFoundError, match='few lacks 1 of the 2 .* is 011'):
        compare_methods([bicubic, few], inputs, out, targets)
    assert not out.exists()
    (out / 'results/bicubic').mkdir(parents=True)
    with pytest.raises(ValueError, match='results/bicubic exists already; remove it'):
        compare_methods([bicubic], inputs, out, targets)


def test_waiting_for_frames_is_not_timed(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr('time.perf_counter', lambda: clock[0])

    class Slow(BicubicUpsampling):
        def forward(self, frames):
            clock[0] += 1 if not frames.is_meta else 0
            return super().forward(frames)

    def frames():
        for frame in torch.rand(3, 3, 8, 8):
            clock[0] += 100
            yield frame

    stopwatch = StopwatchRestorer(window_restorer(Slow(2), num_frames=3, scale=2))
    for _ in stopwatch.restore(frames()):
        clock[0] += 10
    assert (stopwatch.seconds, stopwatch.num_frames) == (3, 3)
    assert (stopwatch.scale, stopwatch.context) == (2, 1)
