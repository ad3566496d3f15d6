"""Which images scenes are made of, and what may be wrong with them."""

import cv2
import numpy as np
import pytest

from fmanet_mm.datasets import photos
from fmanet_mm.datasets.photos import find_photos, read_photo, shipped_photos


def write(path, size=(130, 140)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    cv2.imwrite(str(path), image)
    return path


def test_shipped_photos_are_there_and_large():
    found = shipped_photos()
    assert len(found) == 15
    assert {'astronaut', 'chelsea', 'china', 'flower'} < {path.stem for path in found}
    for path in found:
        photo = read_photo(path)
        assert photo.dtype == np.uint8 and photo.shape[2] == 3
        assert min(photo.shape[:2]) >= 128
        assert photo.std() > 15


def test_photo_is_read_as_rgb_and_cannot_be_changed(tmp_path, read_rgb):
    path = write(tmp_path / 'a.png')
    np.testing.assert_array_equal(read_photo(path), read_rgb(path))
    with pytest.raises(ValueError, match='read-only'):
        read_photo(path)[:] = 0


def test_folders_come_after_the_shipped_photos(tmp_path):
    given = [write(tmp_path / name) for name in ('a/2.png', 'a/10.png', 'b/1.png')]
    (tmp_path / 'a/notes.txt').touch()
    folders = [tmp_path / 'a', str(tmp_path / 'b')]
    assert find_photos(folders) == shipped_photos() + given
    assert find_photos(folders, shipped=False) == given


def test_folders_must_hold_images(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        find_photos([tmp_path / 'nowhere'])
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        find_photos([tmp_path])
    with pytest.raises(ValueError, match='no photos.*shipped=True'):
        find_photos(shipped=False)
    with pytest.raises(ValueError, match="list of folders, got 'photos'"):
        find_photos('photos')


def test_unusable_images_are_named(tmp_path):
    small = write(tmp_path / 'small/a.png', size=(127, 200))
    with pytest.raises(ValueError, match=rf'{small} has \(H, W\) = \(127, 200\).*128'):
        find_photos([small.parent])
    (tmp_path / 'bad').mkdir()
    (tmp_path / 'bad/a.png').write_text('no image')
    with pytest.raises(ValueError, match='bad/a.png cannot be read'):
        find_photos([tmp_path / 'bad'])


def test_missing_package_or_photo_is_named(monkeypatch):
    monkeypatch.setattr(photos, 'SHIPPED_PHOTOS', {'no_such_package': ('a.png',)})
    with pytest.raises(FileNotFoundError, match='shipped with no_such_package.*False'):
        find_photos()
    monkeypatch.setattr(photos, 'SHIPPED_PHOTOS', {'skimage': ('data/no.png',)})
    with pytest.raises(FileNotFoundError, match='skimage/data/no.png.*constraints.txt'):
        find_photos()
