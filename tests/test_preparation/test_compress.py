"""Compressed copies of a set's frames."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import moving_images, write_folder

from fmanet_mm.preparation.compress import compress_clips
from fmanet_mm.video.compression import compress_frames

TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/compress_frames.py'


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / 'blurry'
    folder.mkdir()
    for clip, length in (('000', 3), ('001', 2)):
        write_folder(folder / clip, moving_images(length, (24, 32)))
    return folder


def test_every_clip_is_compressed_on_its_own(source, tmp_path, read_rgb):
    out = tmp_path / 'compressed'
    assert compress_clips(source, out, 30) == {'000': 3, '001': 2}
    for clip in ('000', '001'):
        names = sorted(path.name for path in (source / clip).iterdir())
        assert sorted(path.name for path in (out / clip).iterdir()) == names
        expected = compress_frames([read_rgb(source / clip / n) for n in names], 30)
        for name, frame in zip(names, expected, strict=True):
            np.testing.assert_array_equal(read_rgb(out / clip / name), frame)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['blurry', 'compressed']


def test_nothing_appears_before_all_is_done(source, tmp_path):
    (source / '001/0001.png').write_bytes(b'no image')
    with pytest.raises(ValueError, match='0001.png'):
        compress_clips(source, tmp_path / 'compressed', 30)
    assert not (tmp_path / 'compressed').exists()
    write_folder(source / '002', [])
    (source / '001/0001.png').write_bytes((source / '001/0000.png').read_bytes())
    with pytest.raises(ValueError, match='002 cannot be compressed: .*one frame'):
        compress_clips(source, tmp_path / 'compressed', 30)


def test_folders_that_are_there_or_not(source, tmp_path):
    with pytest.raises(FileExistsError, match='blurry exists; name a new folder'):
        compress_clips(source, source, 30)
    with pytest.raises(FileNotFoundError, match='there is no folder'):
        compress_clips(tmp_path / 'nothing', tmp_path / 'out', 30)
    with pytest.raises(FileNotFoundError, match='no folders of frames in'):
        compress_clips(source / '000', tmp_path / 'out', 30)


def test_the_tool(source, tmp_path, monkeypatch, capsys):
    out = str(tmp_path / 'out')
    monkeypatch.setattr(sys, 'argv', [str(TOOL), str(source), out, '--crf', '23'])
    runpy.run_path(str(TOOL), run_name='__main__')
    assert f'{out}: 2 clips, 5 frames' in capsys.readouterr().out
