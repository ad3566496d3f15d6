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


def test_a_process_of_a_distributed_run_ends_before_it_is_finalized(tmp_path):
    """Its exit functions run; what the interpreter would clear up is left alone."""
    script = tmp_path / 'process.py'
    script.write_text(
        'import atexit\n'
        'from torch import distributed\n'
        'from fmanet_mm.engine import end_process\n'
        'class Cleared:\n'
        '    def __del__(self):\n'
        "        print('finalized')\n"
        'kept = Cleared()\n'
        "atexit.register(print, 'exit functions')\n"
        'end_process()\n'
        "print('alone, it returns')\n"
        f'store = torch.distributed.FileStore({str(tmp_path / "store")!r}, 1)\n'
        "torch.distributed.init_process_group('gloo', store=store, rank=0, world_size=1)\n"
        'end_process()\n'
        "print('not reached')\n"
    )
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', script], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ['alone, it returns', 'exit functions']
