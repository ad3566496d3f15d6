"""FMA-Net goes on from a checkpoint as if it had not been stopped."""

import importlib.util
import shutil

import pytest
from test_train_test_tools import TOOLS, run_tool

spec = importlib.util.spec_from_file_location('soak', TOOLS / 'analysis_tools/soak.py')
soak = importlib.util.module_from_spec(spec)
spec.loader.exec_module(soak)

STAGE_2 = """\
_base_ = ['{base}']
tiny = dict(channels=12, num_flows=2, num_heads=2, num_rdbs=1, num_dense_layers=1,
    degradation_kernel_size=4)
crop = dict(_base_.random_crop, patch_size=16)
pipeline = [*_base_.load_all, crop, _base_.random_flip, _base_.pack_all]
model = dict(
    architecture=tiny, net_d=dict(init_cfg=dict(checkpoint='{stage_1}'))
)
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False,
    dataset=dict(data_root='{data}', pipeline=pipeline),
)
val_dataloader = None
val_cfg = None
val_evaluator = None
train_cfg = dict(val_interval=1)
default_hooks = dict(checkpoint=dict(save_best=None, interval=1))
"""


def train(config, work_dir, iters, *options, resume=()):
    run_tool(
        'train', config, '--work-dir', work_dir, *resume,
        '--cfg-options', f'train_cfg.max_iters={iters}', *options,
    )  # fmt: skip


@pytest.fixture(scope='module')
def in_one_go(tmp_path_factory):
    """Folder of the set, and work folder of four iterations, validated after two."""
    folder = tmp_path_factory.mktemp('resume')
    config = soak.write_config(folder, iters=4, interval=1, workers=0, val_interval=2)
    train(config, folder / 'run', 4, 'default_hooks.checkpoint.max_keep_ckpts=9')
    return folder, folder / 'run'


@pytest.mark.parametrize(('done', 'workers'), [(2, 2), (3, 0)])
def test_random_crops_and_flips_are_the_same(tmp_path, in_one_go, done, workers):
    _, run = in_one_go
    config = soak.write_config(tmp_path, 4, 1, workers, val_interval=2)
    train(config, tmp_path / 'run', 4, resume=['--resume', run / f'iter_{done}.pth'])
    assert not soak.compare(run, tmp_path / 'run', 4)
    assert len(soak.logged_losses(tmp_path / 'run')) == 5 * (4 - done)


def test_a_comparison_sees_the_smallest_difference(in_one_go):
    _, run = in_one_go
    one, other = (
        soak.read_checkpoint(str(run / 'iter_4.pth'))['optimizer'] for _ in range(2)
    )
    assert not soak.differences(one, other)
    other['state'][3]['exp_avg'].view(-1)[0] += 1e-6
    assert soak.differences(one, other) == ['.state.3.exp_avg']


def test_stage_2_goes_on_without_the_checkpoint_of_stage_1(tmp_path, in_one_go):
    folder, run = in_one_go
    stage_1 = tmp_path / 'stage_1.pth'
    shutil.copy(run / 'iter_4.pth', stage_1)
    config = tmp_path / 'stage_2.py'
    config.write_text(
        STAGE_2.format(
            base=TOOLS.parent / 'configs/quickstart_stage2.py',
            stage_1=stage_1,
            data=folder / 'data',
        )
    )
    train(config, tmp_path / 'run', 1)
    stage_1.unlink()
    train(config, tmp_path / 'run', 2, resume=['--resume'])
    assert (tmp_path / 'run' / 'iter_2.pth').exists()
    with pytest.raises(FileNotFoundError, match='stage_1.pth'):
        train(config, tmp_path / 'new', 1, resume=['--resume'])


def test_stage_2_starts_from_the_checkpoint_that_is_named(tmp_path, in_one_go):
    folder, run = in_one_go
    config = tmp_path / 'stage_2.py'
    config.write_text(
        STAGE_2.format(
            base=TOOLS.parent / 'configs/quickstart_stage2.py',
            stage_1='gone.pth',
            data=folder / 'data',
        )
    )
    train(
        config, tmp_path / 'run', 1, 'optim_wrapper.optimizer.lr=0.0',
        resume=['--stage1', run / 'iter_4.pth'],
    )  # fmt: skip
    stage_1, stage_2 = (
        soak.read_checkpoint(str(path))['state_dict']
        for path in (run / 'iter_4.pth', tmp_path / 'run' / 'iter_1.pth')
    )
    net_d = [name for name in stage_1 if name.startswith('net_d.')]
    assert net_d
    assert all(stage_1[name].equal(stage_2[name]) for name in net_d)


@pytest.mark.timeout(600)
def test_a_killed_run_ends_as_the_run_in_one_go(tmp_path):
    config = soak.write_config(
        tmp_path, iters=12, interval=3, workers=1, val_interval=6
    )
    train(config, tmp_path / 'a', 12)
    soak.run_under_kills(config, tmp_path / 'b', 1, 60.0, soak.random.Random(0))
    assert soak.compare(tmp_path / 'a', tmp_path / 'b', 12) == []
    assert 'Skipped' not in (tmp_path / 'b' / 'output.txt').read_text()
    assert 'resumed epoch' in (tmp_path / 'b' / 'output.txt').read_text()


def test_growing_memory_is_seen():
    assert soak.growth([50] + [100] * 99) == 0
    assert soak.growth(list(range(100, 200))) > soak.ALLOWED_GROWTH
