import pytest

from fmanet_mm.engine import base_parser, load_config


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'my_run.py'
    path.write_text("model = dict(width=1)\nwork_dir = 'of_the_config'\n")
    return path


def load(*arguments):
    return load_config(base_parser('').parse_args([str(word) for word in arguments]))


def test_work_dir_comes_from_the_argument_then_the_config_then_its_name(config):
    assert load(config, '--work-dir', 'given').work_dir == 'given'
    assert load(config).work_dir == 'of_the_config'
    config.write_text('model = dict(width=1)\n')
    assert load(config).work_dir == 'work_dirs/my_run'


def test_options_reach_the_config(config):
    cfg = load(
        config, '--launcher', 'pytorch', '--cfg-options', 'model.width=2', 'k="[1,2]"'
    )
    assert cfg.launcher == 'pytorch'
    assert cfg.model.width == 2
    assert cfg.k == [1, 2]
