"""The command line of tools/dataset_converters/video_to_vsrdb.py."""

import json
import runpy
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from fmanet_mm.utils.degradation import average_frames, bicubic_downsample
from fmanet_mm.video.reader import open_frames

TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/video_to_vsrdb.py'


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / 'street'
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(40):
        frame = rng.integers(0, 256, (96, 104, 3), np.uint8)
        cv2.imwrite(str(folder / f'{index:08d}.png'), frame)
    return folder


@pytest.fixture
def run(monkeypatch):
    def call(*arguments):
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
        runpy.run_path(str(TOOL), run_name='__main__')

    return call


def test_every_option_arrives(source, run, tmp_path, capsys):
    out = tmp_path / 'set'
    options = dict(
        sub_frames=3,
        stride=4,
        scale=3,
        downscale=2,
        clip_length=5,
        min_clip_length=2,
        held_out=0.4,
    )
    arguments = [
        text
        for name, value in options.items()
        for text in (f'--{name.replace("_", "-")}', value)
    ]
    run(source, '--out', out, '--linear-light', *arguments)
    told = capsys.readouterr().out
    assert 'train: 1 clips, 5 frames' in told
    assert 'val: 1 clips, 4 frames' in told and str(out) in told
    info = json.loads((out / 'vsrdb_info.json').read_text())
    del info['sources']
    assert info == {**options, 'linear_light': True}
    assert (out / 'val_blur_bicubic/X3/street_001/00000003.png').is_file()


def test_slow_motion_becomes_blurry_video(run, tmp_path):
    """240 frames a second in 1280x720 to 30 in 320x180, as the documentation says."""
    video, out = tmp_path / 'slow motion.mp4', tmp_path / 'set'
    y, x = np.mgrid[:720, :1280]
    with av.open(str(video), 'w') as container:
        stream = container.add_stream('mpeg4', rate=240)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, 'yuv420p'
        stream.bit_rate = 20_000_000
        for index in range(31):
            wave = 128 + 100 * np.sin((x - 4 * index) / 20) * np.cos(y / 30)
            image = np.repeat(wave.astype(np.uint8)[..., None], 3, axis=2)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
        container.mux(stream.encode())
    run(video, '--out', out, '--sub-frames', 7, '--stride', 8, '--scale', 4)

    assert (out / 'train.txt').read_text() == 'slow_motion_000 4\n'
    with open_frames(video) as reader:
        assert reader.fps == 240
        frames = [*reader]
    for index in range(4):
        name = f'slow_motion_000/{index:08d}.png'
        part = frames[8 * index : 8 * index + 7]
        for kind, expected in (
            ('sharp', part[3]),
            ('sharp_bicubic/X4', bicubic_downsample(part[3], 4)),
            ('blur_bicubic/X4', bicubic_downsample(average_frames(part), 4)),
        ):
            found = cv2.imread(str(out / f'train_{kind}' / name))[..., ::-1]
            np.testing.assert_array_equal(found, expected, err_msg=f'{kind}/{name}')
    assert expected.shape == (180, 320, 3)


def test_defaults(source, run, tmp_path):
    out = tmp_path / 'set'
    run(source, '--out', out, '--sub-frames', 5)
    info = json.loads((out / 'vsrdb_info.json').read_text())
    assert info['stride'] == 5 and info['scale'] == 4 and not info['linear_light']
    assert (out / 'train.txt').read_text() == 'street_000 8\n'
    assert not (out / 'val.txt').exists()


def test_help_shows_the_example_and_the_defaults(run, capsys):
    with pytest.raises(SystemExit):
        run('--help')
    told = capsys.readouterr().out
    assert '--out data/own \\\n        --sub-frames 7 --stride 8' in told
    assert 'default: 100' in told and 'default: None' not in told


def test_errors_are_told(source, run, tmp_path):
    out = tmp_path / 'set'
    with pytest.raises(FileNotFoundError, match='no_video.mp4'):
        run(source, tmp_path / 'no_video.mp4', '--out', out, '--sub-frames', 5)
    with pytest.raises(ValueError, match='odd'):
        run(source, '--out', out, '--sub-frames', 4)
    assert not out.exists()
