import os

import pytest

from fmanet_mm.utils.files import atomic_write, publish, sync


def test_a_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / 'new' / 'a.txt'
    with atomic_write(path) as draft:
        draft.write_text('complete')
        assert not path.exists()
        assert draft.parent == path.parent
        assert draft.suffix == '.txt'
    assert os.listdir(tmp_path / 'new') == ['a.txt']
    assert path.read_text() == 'complete'


@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_the_file_as_it_was(tmp_path, error):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with pytest.raises(error), atomic_write(path) as draft:
        draft.write_text('half')
        raise error
    assert path.read_text() == 'old'
    assert os.listdir(tmp_path) == ['a.txt']


@pytest.fixture
def operations(monkeypatch):
    """The calls that decide what survives a power cut, in order."""
    done = []
    for name in ('fsync', 'replace'):
        original = getattr(os, name)

        def record(*args, name=name, original=original):
            done.append(name)
            return original(*args)

        monkeypatch.setattr(os, name, record)
    return done


@pytest.mark.parametrize(
    ('durable', 'expected'),
    [(False, ['replace']), (True, ['fsync', 'replace', 'fsync'])],
)
def test_durable_files_are_on_the_disk_before_they_have_their_name(
    tmp_path, operations, durable, expected
):
    with atomic_write(tmp_path / 'a.txt', durable) as draft:
        draft.write_text('data')
    assert operations == expected
    operations.clear()
    publish(tmp_path / 'a.txt', tmp_path / 'b.txt', durable)
    assert operations == expected
    assert os.listdir(tmp_path) == ['b.txt']


def test_folders_that_cannot_be_synced_are_no_error(tmp_path, monkeypatch):
    path = tmp_path / 'a.txt'
    path.write_text('data')
    sync(path)

    def refuse(descriptor):
        raise OSError(22, 'Invalid argument')

    monkeypatch.setattr(os, 'fsync', refuse)
    sync(tmp_path)
    with pytest.raises(OSError, match='Invalid argument'):
        sync(path)


def test_names_need_not_be_utf_8(tmp_path):
    path = tmp_path / os.fsdecode(b'\xff\xe9.txt')
    try:
        path.touch()
    except (OSError, UnicodeError):
        pytest.skip('the file system takes UTF-8 names only')
    with atomic_write(path, durable=True) as draft:
        draft.write_text('data')
    assert path.read_text() == 'data'
