"""Flow files."""

import numpy as np
import pytest

from fmanet_mm.flow.io import flow_filename, load_flow, save_flow


@pytest.fixture
def flow():
    return np.random.default_rng(0).normal(size=(5, 7, 2)).astype(np.float32)


def test_filename_is_source_then_target():
    assert flow_filename('00000005', '00000004') == '00000005_00000004.npy'


@pytest.mark.parametrize('dtype', ['float16', 'float32'])
def test_round_trip(tmp_path, flow, dtype):
    path = tmp_path / 'clip' / 'a.npy'
    save_flow(path, flow, dtype)
    assert np.load(path).dtype == dtype
    loaded = load_flow(path, (5, 7))
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, flow.astype(dtype))
    assert [file.name for file in path.parent.iterdir()] == ['a.npy']


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.npy'):
        load_flow(tmp_path / 'nowhere.npy')


def test_wrong_shapes_are_named(tmp_path, flow):
    path = tmp_path / 'a.npy'
    save_flow(path, flow)
    with pytest.raises(ValueError, match=r'a\.npy.*\(5, 7\).*\(7, 5\)'):
        load_flow(path, (7, 5))
    np.save(path, flow.transpose(2, 0, 1))
    with pytest.raises(ValueError, match=r'a\.npy.*\(2, 5, 7\)'):
        load_flow(path)
    np.save(path, flow.astype(int))
    with pytest.raises(ValueError, match=r'a\.npy.*int64'):
        load_flow(path)


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, flow, value):
    path = tmp_path / 'a.npy'
    flow[1, 2, 0] = value
    with pytest.raises(ValueError, match=r'a\.npy holds 1 values'):
        save_flow(path, flow)
    assert not any(tmp_path.iterdir())
    np.save(path, flow)
    with pytest.raises(ValueError, match=r'a\.npy holds 1 values'):
        load_flow(path)


def test_overflow_of_float16_is_refused(tmp_path, flow):
    flow[0, 0, 0] = 1e6
    with pytest.raises(ValueError, match=r'a\.npy holds 1 values'):
        save_flow(tmp_path / 'a.npy', flow, 'float16')


def test_other_dtypes_are_refused(tmp_path, flow):
    with pytest.raises(ValueError, match='float64'):
        save_flow(tmp_path / 'a.npy', flow, 'float64')


def test_truncated_file_is_named(tmp_path, flow):
    path = tmp_path / 'a.npy'
    save_flow(path, flow)
    content = path.read_bytes()
    for length in (0, 20, len(content) - 4):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r'a\.npy cannot be read'):
            load_flow(path)


def test_broken_off_write_leaves_the_old_file(tmp_path, flow, monkeypatch):
    path = tmp_path / 'a.npy'
    save_flow(path, flow)

    def fail(file, array):
        file.write(b'half')
        raise OSError('disk full')

    monkeypatch.setattr(np, 'save', fail)
    with pytest.raises(OSError, match='disk full'):
        save_flow(path, flow + 1)
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == ['a.npy']
    np.testing.assert_array_equal(load_flow(path), flow.astype(np.float16))
