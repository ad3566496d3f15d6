import pytest

from fmanet_mm.utils.clips import (
    drop_clutter,
    is_clutter,
    list_clips,
    list_entries,
    list_frames,
)

CLUTTER = (
    '.DS_Store',
    '._00000000.png',
    '.ipynb_checkpoints',
    'Thumbs.db',
    'thumbs.db',
    'desktop.ini',
    '__MACOSX',
    '@eaDir',
)


@pytest.mark.parametrize('name', CLUTTER)
def test_clutter_is_known(name):
    assert is_clutter(name)
    assert drop_clutter(['b', name, 'a']) == ['b', 'a']


def test_clips_and_frames_are_listed_without_clutter(tmp_path):
    for name in ('001', '000', '.ipynb_checkpoints', '__MACOSX'):
        (tmp_path / name).mkdir()
    for name in ('00000001.png', '00000000.png', 'notes.txt', '._00000000.png'):
        (tmp_path / '000' / name).touch()
    (tmp_path / 'Thumbs.db').touch()
    (tmp_path / 'train.txt').touch()
    assert [entry.name for entry in list_entries(tmp_path)] == [
        '000', '001', 'train.txt',
    ]  # fmt: skip
    assert list_clips(tmp_path) == ['000', '001']
    assert list_frames(tmp_path / '000') == ['00000000.png', '00000001.png']


@pytest.mark.parametrize('lister', [list_entries, list_clips, list_frames])
def test_a_missing_folder_is_named(tmp_path, lister):
    with pytest.raises(FileNotFoundError, match='there is no folder .*nowhere'):
        lister(tmp_path / 'nowhere')
