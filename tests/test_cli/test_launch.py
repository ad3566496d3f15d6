import pytest
import torch

from fmanet_mm.cli.launch import Rank, device_of_rank, find_devices, find_rank

TORCHRUN = dict(
    RANK='5', WORLD_SIZE='8', LOCAL_RANK='1', TORCHELASTIC_RUN_ID='ab',
    MASTER_ADDR='node0', MASTER_PORT='29500',
)  # fmt: skip
SRUN = dict(
    SLURM_PROCID='2', SLURM_NTASKS='4', SLURM_LOCALID='0', SLURM_JOB_ID='77',
    SLURM_STEP_ID='1',
)  # fmt: skip


@pytest.fixture
def gpus(monkeypatch):
    """Let there be as many CUDA devices as the function is called with."""

    def pretend(count):
        accelerator = torch.device('cuda') if count else None
        monkeypatch.setattr(
            'torch.accelerator.current_accelerator', lambda **_: accelerator
        )
        monkeypatch.setattr('torch.accelerator.device_count', lambda: count)

    return pretend


@pytest.mark.parametrize(
    ('environ', 'rank'),
    [
        ({}, None),
        (TORCHRUN, Rank(5, 8, 1, 'ab:node0:29500')),
        (SRUN, Rank(2, 4, 0, '77:1')),
        ({**SRUN, 'SLURM_STEP_NUM_TASKS': '3'}, Rank(2, 3, 0, '77:1')),
        ({**SRUN, **TORCHRUN}, Rank(5, 8, 1, 'ab:node0:29500')),
        (dict(RANK='0', WORLD_SIZE='1'), None),
        (dict(RANK='0'), None),
        # In a batch script there is one process, whatever srun would start.
        (dict(SLURM_PROCID='0', SLURM_NTASKS='4', SLURM_JOB_ID='77'), None),
    ],
)
def test_ranks_are_found_by_the_variables_of_launchers(environ, rank):
    assert find_rank(environ) == rank


@pytest.mark.parametrize(
    ('environ', 'message'),
    [
        (dict(RANK='a', WORLD_SIZE='2'), "variable RANK is 'a', expected a number"),
        (dict(RANK='-1', WORLD_SIZE='2'), "variable RANK is '-1'"),
        (dict(RANK='2', WORLD_SIZE='2'), 'RANK is 2 and WORLD_SIZE is 2; a rank must'),
        ({**SRUN, 'SLURM_PROCID': '4'}, 'SLURM_PROCID is 4 and SLURM_NTASKS is 4'),
    ],
)
def test_refuses_ranks_that_make_no_sense(environ, message):
    with pytest.raises(ValueError, match=message):
        find_rank(environ)


@pytest.mark.parametrize(
    ('names', 'devices'),
    [
        (None, [None]),
        ('cpu', ['cpu']),
        ('cuda:0,cuda:1', ['cuda:0', 'cuda:1']),
        ('cpu, cpu', ['cpu', 'cpu']),
        ('all', ['cuda:0', 'cuda:1', 'cuda:2']),
    ],
)
def test_devices_are_a_list_or_all(gpus, names, devices):
    gpus(3)
    assert find_devices(names) == devices


def test_refuses_lists_without_a_device(gpus):
    gpus(0)
    with pytest.raises(ValueError, match='there is no GPU for --device all; use'):
        find_devices('all')
    with pytest.raises(ValueError, match='--device cpu,,cpu has an empty name'):
        find_devices('cpu,,cpu')


@pytest.mark.parametrize(
    ('names', 'num_gpus', 'local', 'device'),
    [
        (None, 4, 2, 'cuda:2'),
        (None, 1, 2, 'cuda:0'),  # as srun --gpus-per-task=1 shows them
        (None, 0, 2, None),
        ('all', 4, 3, 'cuda:3'),
        ('cpu', 4, 3, 'cpu'),
        ('cuda:2,cuda:3', 4, 1, 'cuda:3'),
    ],
)
def test_a_rank_has_a_device_of_its_computer(gpus, names, num_gpus, local, device):
    gpus(num_gpus)
    assert device_of_rank(names, Rank(7, 8, local, 'run')) == device
