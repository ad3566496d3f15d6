"""Results in files, on the frames with known measures."""

import json
import runpy
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from fmanet_mm.evaluation import evaluate_folders

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/evaluate_folder.py'
CLIPS = ('000', '011')


@pytest.fixture
def sides(tmp_path, golden, junk, write_frames):
    """Results, which lack the ends of the clips, and targets."""
    outputs, targets, _ = golden
    for clip in CLIPS:
        write_frames(tmp_path / 'EDVR' / clip, outputs, first=1)
        write_frames(tmp_path / 'train_sharp' / clip, [junk, *targets, junk])
    return tmp_path / 'EDVR', tmp_path / 'train_sharp'


@pytest.fixture
def write_video(tmp_path):
    """Return a function that writes frames to a file of lossless RGB."""

    def write(name, frames):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        with av.open(str(path), 'w') as container:
            stream = container.add_stream('ffv1', rate=25)
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = 'bgr0'
            for frame in frames:
                image = av.VideoFrame.from_ndarray(frame, format='rgb24')
                container.mux(stream.encode(image.reformat(format='bgr0')))
            container.mux(stream.encode())
        return path

    return write


def assert_golden(report, golden, clips=2):
    mean, overall = golden[2]['mean'], report.overall()
    assert (overall['frames'], overall['pairs']) == (4 * clips, 3 * clips)
    assert overall['PSNR'] == pytest.approx(mean['rgb_psnr_border4'], abs=1e-10)
    assert overall['SSIM'] == pytest.approx(mean['ssim_border4'], abs=1e-10)
    assert overall['tOF'] == pytest.approx(mean['tOF'], abs=1e-6)


def test_published_protocol_is_exact(sides, golden):
    report = evaluate_folders(*sides)
    assert_golden(report, golden)
    assert report.name == 'EDVR' and [*report.frames] == [*CLIPS]
    assert [*report.frames['011']] == [f'{number:08d}' for number in (1, 2, 3, 4)]


def test_results_may_have_the_frames_that_do_not_count(sides, golden, junk, tmp_path):
    results, targets = sides
    for clip in CLIPS:
        for name in ('00000000.png', '00000005.png'):
            (results / clip / name).write_bytes((targets / clip / name).read_bytes())
    assert_golden(evaluate_folders(results, targets, motion=None), golden)


def test_full_protocol(sides, golden):
    results, targets = sides
    for clip in CLIPS:
        for name in ('00000000.png', '00000005.png'):
            (targets / clip / name).unlink()
    overall = evaluate_folders(results, targets, 'full').overall()
    mean = golden[2]['mean']
    assert overall['PSNR'] == pytest.approx(mean['rgb_psnr_border0'], abs=1e-10)
    assert 33 < overall['PSNR-Y'] < 36 and 0.9 < overall['SSIM-Y'] < 1


def test_annotation_file_chooses_clips(sides, golden, tmp_path):
    results, targets = sides
    (targets / '020').mkdir()
    ann_file = tmp_path / 'one.txt'
    ann_file.write_text('011 6\n')
    report = evaluate_folders(results, targets, motion=None, ann_file=ann_file)
    assert_golden(report, golden, clips=1)
    ann_file.write_text('011 7\n')
    with pytest.raises(ValueError, match='011 has 6 frames, .* says 7'):
        evaluate_folders(results, targets, motion=None, ann_file=ann_file)


def test_official_tree_of_gopro(sides, golden):
    results, targets = sides
    for clip in CLIPS:
        frames = [*(targets / clip).iterdir()]
        (targets / clip / 'sharp').mkdir()
        for frame in frames:
            frame.rename(targets / clip / 'sharp' / frame.name)
    report = evaluate_folders(results, f'{targets}/{{clip}}/sharp', motion=None)
    assert_golden(report, golden)


def test_one_clip(sides, golden):
    results, targets = sides
    report = evaluate_folders(results / '000', targets / '011', motion=None, name='x')
    assert_golden(report, golden, clips=1)
    assert report.name == 'x'


def test_videos(sides, golden, junk, write_video):
    """Against folders and videos; without names of frames all must be there."""
    outputs, targets, _ = golden
    for clip in CLIPS:
        write_video(f'videos/{clip}.mkv', [junk, *outputs, junk])
        truth = write_video(f'true/{clip}.mkv', [junk + 9, *targets, junk + 9])
    videos = truth.parents[1] / 'videos'
    for side in (sides[1], truth.parent):
        assert_golden(evaluate_folders(videos, side, motion=None), golden)
    one = evaluate_folders(videos / '000.mkv', truth, motion=None)
    assert_golden(one, golden, clips=1)


@pytest.mark.parametrize('number', [5, 8])
def test_videos_of_other_lengths(sides, golden, junk, write_video, number):
    frames = [junk, *golden[0], junk, junk, junk][:number]
    video = write_video('results.mkv', frames)
    with pytest.raises(ValueError, match=f'results.mkv has {number} frames.* has 6'):
        evaluate_folders(video, sides[1] / '000', motion=None)


def test_frames_that_lack(sides):
    results, targets = sides
    (results / '011/00000003.png').unlink()
    with pytest.raises(
        ValueError, match='011 lacks 1 frames: 00000003.* has 3, .* has 6, .* 4;'
    ):
        evaluate_folders(results, targets)


def test_frames_of_other_names(sides):
    results, targets = sides
    frame = results / '011/00000004.png'
    (results / '011/00000010.png').write_bytes(frame.read_bytes())
    with pytest.raises(ValueError, match='011 should not have 1 frames: 00000010'):
        evaluate_folders(results, targets)


def test_frames_of_another_size(sides, write_frames, golden):
    results, targets = sides
    write_frames(results.parent / 'small/000', [golden[0][0][:, :200]] * 4, first=1)
    with pytest.raises(ValueError, match=r'\(160, 200\).*\(160, 240\).* one size'):
        evaluate_folders(results.parent / 'small/000', targets / '000')


def test_everything_is_checked_before_anything_is_measured(sides, monkeypatch):
    (sides[0] / '011/00000003.png').unlink()
    monkeypatch.setattr('fmanet_mm.evaluation.folders._measure_clip', None)
    with pytest.raises(ValueError, match='011 lacks 1 frames'):
        evaluate_folders(*sides)


def test_clips_that_do_not_match(sides):
    results, targets = sides
    (results / '015').mkdir()
    with pytest.raises(ValueError, match='EDVR has 1 clips that .* lacks: 015'):
        evaluate_folders(results, targets)
    (results / '015').rename(targets / '015')
    with pytest.raises(FileNotFoundError, match='EDVR lacks 1 of the 3 clips .*: 015'):
        evaluate_folders(results, targets)
    with pytest.raises(ValueError, match='EDVR/000 is one clip, but .* several'):
        evaluate_folders(results / '000', targets)
    (targets / '000.mp4').touch()
    with pytest.raises(ValueError, match='000 and .*000.mp4 are both named 000'):
        evaluate_folders(results, targets)


def test_places_that_are_not_there(sides, tmp_path):
    with pytest.raises(FileNotFoundError, match='folder .*gone'):
        evaluate_folders(tmp_path / 'gone', sides[1])
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='no clips in .*empty'):
        evaluate_folders(tmp_path / 'empty', sides[1])


def test_clips_too_short_for_the_protocol(write_frames, tmp_path):
    frames = [np.zeros((64, 64, 3), np.uint8)] * 2
    for side in ('a', 'b'):
        write_frames(tmp_path / side / '000', frames)
    with pytest.raises(ValueError, match='published measures none .*b/000'):
        evaluate_folders(tmp_path / 'a', tmp_path / 'b')


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_tool(sides, monkeypatch, capsys, golden):
    out = sides[0].parent / 'out'
    run_tool(monkeypatch, *sides, '--out', out, '--name', 'EDVR*')
    told = capsys.readouterr().out
    assert '| method | PSNR | SSIM | tOF |' in told
    assert '| EDVR* | 34.07 | 0.9624 | 0.806 |' in told
    assert '8 frames and 6 pairs' in told and 'DISFlowEstimator' in told
    read = json.loads((out / 'evaluation.json').read_text())
    assert read['overall']['tOF'] == pytest.approx(golden[2]['mean']['tOF'], abs=1e-6)
    assert '| all | 8 | 34.07 |' in (out / 'evaluation.md').read_text()


def test_tool_passes_everything_on(sides, monkeypatch, capsys, tmp_path):
    config = tmp_path / 'flow.py'
    config.write_text(
        "flow_estimator = dict(type='DISFlowEstimator', preset='upside down')"
    )
    with pytest.raises(ValueError, match='upside down'):
        run_tool(monkeypatch, *sides, '--flow-config', config)
    (tmp_path / 'ann.txt').write_text('000\n')
    run_tool(
        monkeypatch, *sides, '--no-motion', '--measures', 'PSNR-Y',
        '--ann-file', tmp_path / 'ann.txt', '--protocol', 'published',
    )  # fmt: skip
    told = capsys.readouterr().out
    assert '| method | PSNR-Y |' in told and '4 frames and 0 pairs' in told
    assert 'By motion' not in told
