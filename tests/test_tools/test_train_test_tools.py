import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from run_tool import TOOLS, load_tool, run_tool
from toy_project import ToyModel

HERE = Path(__file__).resolve().parent
CONFIG = HERE / 'toy_config.py'
# Two steps of size 0.1 along 2 (w - 1), from w = 0.
AFTER_1, AFTER_2, AFTER_3 = 0.2, 0.36, 0.488


def weight(checkpoint):
    model = ToyModel()
    load_checkpoint(model, str(checkpoint), map_location='cpu', strict=True)
    return model.layer.weight.item()


def child_config(folder, text):
    config = folder / 'child.py'
    config.write_text(f"_base_ = ['{CONFIG}']\n{text}\n")
    return config


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Work folder of two iterations of training."""
    work_dir = tmp_path_factory.mktemp('trained')
    run_tool('train', CONFIG, '--work-dir', work_dir)
    return work_dir


def test_train_steps_and_writes_into_the_work_dir(trained):
    assert weight(trained / 'iter_1.pth') == pytest.approx(AFTER_1)
    assert weight(trained / 'iter_2.pth') == pytest.approx(AFTER_2)


def test_cfg_options_override_the_config(tmp_path):
    run_tool(
        'train', CONFIG, '--work-dir', tmp_path,
        '--cfg-options', 'train_cfg.max_iters=1', 'optim_wrapper.optimizer.lr=0.2',
    )  # fmt: skip
    assert weight(tmp_path / 'iter_1.pth') == pytest.approx(0.4)
    assert not (tmp_path / 'iter_2.pth').exists()


@pytest.mark.parametrize('given', ['auto', 'alone', 'path'])
def test_resume_goes_on(trained, tmp_path, given):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_2.pth'))
    resume = {
        'auto': ['--resume', 'auto'],
        'alone': ['--resume'],
        'path': ['--resume', trained / 'iter_1.pth'],
    }[given]
    iterations = 2 if given == 'path' else 3
    run_tool(
        'train', CONFIG, '--work-dir', tmp_path, *resume,
        '--cfg-options', f'train_cfg.max_iters={iterations}',
        'optim_wrapper.optimizer.lr=0.1',
    )  # fmt: skip
    expected = AFTER_2 if given == 'path' else AFTER_3
    assert weight(tmp_path / f'iter_{iterations}.pth') == pytest.approx(expected)


def test_resume_without_a_checkpoint_starts_with_the_weights_of_the_config(
    trained, tmp_path
):
    run_tool(
        'train', CONFIG, '--work-dir', tmp_path, '--resume',
        '--cfg-options', f'load_from={trained}/iter_1.pth', 'train_cfg.max_iters=1',
    )  # fmt: skip
    assert weight(tmp_path / 'iter_1.pth') == pytest.approx(AFTER_2)


def test_resume_from_a_checkpoint_that_is_gone(tmp_path):
    (tmp_path / 'last_checkpoint').write_text('/gone/iter_7.pth')
    with pytest.raises(FileNotFoundError, match=r'(?s)/gone/iter_7.pth.*--resume'):
        run_tool('train', CONFIG, '--work-dir', tmp_path, '--resume')


def test_resume_refuses_another_network(trained, tmp_path):
    with pytest.raises(ValueError, match=r'iter_2.pth.*layer.weight \(1, 1\) instead'):
        run_tool(
            'train', CONFIG, '--work-dir', tmp_path,
            '--resume', trained / 'iter_2.pth', '--cfg-options', 'model.width=3',
        )  # fmt: skip


def test_amp_computes_in_half_the_bits(tmp_path):
    config = child_config(tmp_path, 'optim_wrapper = dict(clip_grad=dict(max_norm=1))')
    run_tool('train', config, '--work-dir', tmp_path, '--amp')
    scaled = torch.cuda.is_available() and not torch.cuda.is_bf16_supported(False)
    assert ToyModel.computed_in == (torch.float16 if scaled else torch.bfloat16)
    # The gradients -2 and -1.8 are clipped to 1.
    assert weight(tmp_path / 'iter_2.pth') == pytest.approx(0.2, rel=1e-2)


def test_amp_accepts_a_config_with_amp_for_gpus(tmp_path):
    config = child_config(
        tmp_path, "optim_wrapper = dict(type='AmpOptimWrapper', loss_scale=512.0)"
    )
    run_tool('train', config, '--work-dir', tmp_path, '--amp')
    assert weight(tmp_path / 'iter_2.pth') == pytest.approx(AFTER_2, rel=1e-2)


@pytest.mark.parametrize(
    ('gpu', 'has_bf16', 'configured', 'wrapper'),
    [
        (True, True, 'OptimWrapper', dict(type='Bf16OptimWrapper')),
        (True, False, 'OptimWrapper', dict(type='AmpOptimWrapper', loss_scale=8.0)),
        (True, True, 'AmpOptimWrapper', dict(type='AmpOptimWrapper', loss_scale=8.0)),
        (False, False, 'AmpOptimWrapper', dict(type='Bf16OptimWrapper')),
    ],
)
def test_amp_takes_bfloat16_where_there_is_hardware_for_it(
    monkeypatch, gpu, has_bf16, configured, wrapper
):
    def is_supported(including_emulation=True):
        return has_bf16 or including_emulation

    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', is_supported)
    cfg = Config(dict(optim_wrapper=dict(type=configured, loss_scale=8.0)))
    load_tool('train').enable_amp(cfg)
    assert cfg.optim_wrapper.to_dict() == wrapper


@pytest.mark.parametrize('fused', [False, True])
def test_a_resumed_optimizer_steps_as_configured_now(tmp_path, fused):
    config = child_config(
        tmp_path, "optim_wrapper = dict(optimizer=dict(type='Adam', lr=0.1))"
    )

    def train(folder, iterations, fused, *resume):
        run_tool(
            'train', config, '--work-dir', tmp_path / folder, *resume,
            '--cfg-options', f'train_cfg.max_iters={iterations}',
            f'optim_wrapper.optimizer.fused={fused}',
        )  # fmt: skip
        return tmp_path / folder / f'iter_{iterations}.pth'

    before = train('run', 2, not fused)
    after = train('resumed', 4, fused, '--resume', before)
    assert weight(after) == pytest.approx(weight(train('in_one_go', 4, fused)))
    for path, expected in ((before, not fused), (after, fused)):
        state = torch.load(path, weights_only=False)['optimizer']
        assert [group['fused'] for group in state['param_groups']] == [expected]
        assert state['state'][0]['step'] == int(path.stem[-1])


def test_without_amp_nothing_changes(trained):
    config = Config.fromfile(trained / 'toy_config.py')
    assert config.optim_wrapper.type == 'OptimWrapper'


def test_amp_refuses_another_wrapper(tmp_path):
    config = child_config(tmp_path, "optim_wrapper = dict(type='ApexOptimWrapper')")
    with pytest.raises(ValueError, match='child.py has ApexOptimWrapper'):
        run_tool('train', config, '--work-dir', tmp_path, '--amp')


def test_stage1_needs_a_config_of_stage_2(tmp_path):
    with pytest.raises(ValueError, match='toy_config.py starts from no stage 1'):
        run_tool('train', CONFIG, '--work-dir', tmp_path, '--stage1', CONFIG)


def test_auto_scale_lr_scales_by_the_batch_size(tmp_path):
    run_tool('train', CONFIG, '--work-dir', tmp_path, '--auto-scale-lr')
    # Batch 2 in place of 4: half the learning rate.
    assert weight(tmp_path / 'iter_1.pth') == pytest.approx(AFTER_1 / 2)


def test_auto_scale_lr_needs_a_base_batch_size(tmp_path):
    config = child_config(tmp_path, 'auto_scale_lr = None')
    with pytest.raises(ValueError, match='base_batch_size.*child.py'):
        run_tool('train', config, '--work-dir', tmp_path, '--auto-scale-lr')


def test_test_writes_the_metrics(trained, tmp_path):
    out = tmp_path / 'new' / 'metrics.json'
    run_tool(
        'test', CONFIG, trained / 'iter_2.pth', '--work-dir', tmp_path, '--out', out
    )
    assert json.loads(out.read_text()) == {'toy/bias': pytest.approx(AFTER_2 - 1)}
    assert [path.name for path in out.parent.iterdir()] == ['metrics.json']


def test_test_refuses_a_checkpoint_of_another_network(trained, tmp_path):
    out = tmp_path / 'metrics.json'
    with pytest.raises(ValueError, match='iter_2.pth do not fit ToyModel'):
        run_tool(
            'test', CONFIG, trained / 'iter_2.pth', '--work-dir', tmp_path,
            '--out', out, '--cfg-options', 'model.width=3',
        )  # fmt: skip
    assert not out.exists()


@pytest.mark.parametrize(
    ('tool', 'arguments', 'named'),
    [
        ('train', ['gone.py'], 'there is no file gone.py'),
        ('train', [CONFIG, '--resume', 'gone.pth'], 'there is no file gone.pth'),
        ('train', [CONFIG, '--stage1', 'gone.pth'], 'there is no file gone.pth'),
        ('test', [CONFIG, 'gone.pth'], 'there is no file gone.pth'),
        ('test', [CONFIG, CONFIG, '--out', 'metrics.csv'], 'metrics.csv must end'),
    ],
)
def test_wrong_arguments_are_named(capsys, tool, arguments, named):
    with pytest.raises(SystemExit, match='2'):
        run_tool(tool, *arguments)
    assert named in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason='concerns machines without GPU')
def test_slurm_without_gpus_is_refused(tmp_path):
    with pytest.raises(RuntimeError, match='slurm needs GPUs.*dist_train.sh'):
        run_tool('train', CONFIG, '--work-dir', tmp_path, '--launcher', 'slurm')


def run_script(name, *arguments, **environment):
    return subprocess.run(
        ['bash', str(TOOLS / name), *map(str, arguments)],
        env={**os.environ, 'PYTHON': sys.executable, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return str(probe.getsockname()[1])


def test_two_processes_train_on_cpus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run_script(
        'dist_train.sh', CONFIG, 2, '--cfg-options', 'train_dataloader.batch_size=1',
        PYTHONPATH=str(HERE), PORT=free_port(), CUDA_VISIBLE_DEVICES='',
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'gloo' in result.stdout
    # One process sees y = 0 alone, the other y = 2: only their mean gives this.
    saved = tmp_path / 'work_dirs' / 'toy_config' / 'iter_2.pth'
    assert weight(saved) == pytest.approx(AFTER_2)


@pytest.fixture
def echo(tmp_path):
    """A folder with programs that print how they were called, one word a line."""
    for name in ('srun', 'python'):
        program = tmp_path / name
        program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" "port=$MASTER_PORT"\n')
        program.chmod(0o755)
    return tmp_path


def called(echo, script, *arguments, **environment):
    path = f'{echo}:{os.environ["PATH"]}'
    result = run_script(script, *arguments, PATH=path, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_dist_test_passes_everything_on(echo):
    words = called(
        echo, 'dist_test.sh', 'a config.py', 'b.pth', 4, '--out', 'my metrics.json',
        PYTHON='python', NNODES='3', NODE_RANK='1', MASTER_ADDR='head', PORT='1234',
    )  # fmt: skip
    assert words[:-1] == [
        '-m', 'torch.distributed.run', '--nnodes=3', '--node_rank=1',
        '--master_addr=head', '--master_port=1234', '--nproc_per_node=4',
        str(TOOLS / 'test.py'), 'a config.py', 'b.pth', '--launcher', 'pytorch',
        '--out', 'my metrics.json',
    ]  # fmt: skip


def test_slurm_train_passes_everything_on(echo):
    words = called(
        echo, 'slurm_train.sh', 'part', 'job', 'c.py', 'my work', '--amp',
        PYTHON='python', GPUS='4', GPUS_PER_NODE='2', CPUS_PER_TASK='3',
        SRUN_ARGS='--quiet --mem=9G', PORT='1234',
    )  # fmt: skip
    assert words == [
        '--partition=part', '--job-name=job', '--gres=gpu:2', '--ntasks=4',
        '--ntasks-per-node=2', '--cpus-per-task=3', '--kill-on-bad-exit=1',
        '--quiet', '--mem=9G', 'python', '-u', str(TOOLS / 'train.py'), 'c.py',
        '--work-dir', 'my work', '--launcher', 'slurm', '--amp', 'port=1234',
    ]  # fmt: skip


def test_slurm_test_has_the_usual_defaults(echo):
    words = called(echo, 'slurm_test.sh', 'part', 'job', 'c.py', 'd.pth', PYTHON='p')
    assert words[:-1] == [
        '--partition=part', '--job-name=job', '--gres=gpu:8', '--ntasks=8',
        '--ntasks-per-node=8', '--cpus-per-task=5', '--kill-on-bad-exit=1',
        'p', '-u', str(TOOLS / 'test.py'), 'c.py', 'd.pth', '--launcher', 'slurm',
    ]  # fmt: skip
    assert 12000 <= int(words[-1].removeprefix('port=')) < 32000


@pytest.mark.parametrize(
    ('script', 'arguments', 'usage'),
    [
        ('dist_train.sh', ['c.py'], 'CONFIG GPUS'),
        ('dist_test.sh', ['c.py', 'd.pth'], 'CONFIG CHECKPOINT GPUS'),
        ('slurm_train.sh', ['p', 'j', 'c.py'], 'PARTITION JOB_NAME CONFIG WORK_DIR'),
        ('slurm_test.sh', ['p', 'j', 'c.py'], 'PARTITION JOB_NAME CONFIG CHECKPOINT'),
    ],
)
def test_too_few_arguments_show_the_usage(script, arguments, usage):
    result = run_script(script, *arguments)
    assert result.returncode == 2
    assert usage in result.stderr
