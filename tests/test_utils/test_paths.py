from pathlib import Path

import pytest

from fmanet_mm.utils import config_root, paths

REPO = Path(__file__).resolve().parents[2]


def test_checkout_gives_the_configs_of_the_checkout():
    if Path(paths.__file__).parents[2] != REPO:
        pytest.skip('the installed package is tested, not the checkout')
    assert config_root() == REPO / 'configs'


def test_configs_carried_by_the_package_come_first(tmp_path, monkeypatch):
    package = tmp_path / 'fmanet_mm'
    carried = package / '.mim' / 'configs'
    carried.mkdir(parents=True)
    (tmp_path / 'configs').mkdir()
    monkeypatch.setattr(paths, 'PACKAGE', package)
    assert config_root() == carried


def test_missing_configs_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, 'PACKAGE', tmp_path / 'fmanet_mm')
    with pytest.raises(FileNotFoundError, match=r'\.mim/configs'):
        config_root()
