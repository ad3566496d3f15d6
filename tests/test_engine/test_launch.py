import subprocess
import sys

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


PROCESS = """\
import atexit, sys
from torch import distributed
from fmanet_mm.engine import end_process

class Cleared:
    def __del__(self):
        print('finalized')

kept = Cleared()
atexit.register(print, 'exit functions')
end_process()
print('alone, it returns')
store = distributed.FileStore(sys.argv[1], 1)
distributed.init_process_group('gloo', store=store, rank=0, world_size=1)
end_process()
print('not reached')
"""


def test_a_process_of_a_distributed_run_ends_before_it_is_finalized(tmp_path):
    """Its exit functions run; what the interpreter would clear up is left alone."""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', PROCESS, tmp_path / 'store'],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ['alone, it returns', 'exit functions']
