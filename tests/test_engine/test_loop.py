import random

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmagic.registry import DATASETS, METRICS, MODELS, OPTIM_WRAPPERS
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch.utils.data import DataLoader, Dataset

from fmanet_mm.engine import (
    PositionedDataset,
    PositionedSampler,
    SafeRunner,
    loop,
    read_checkpoint,
)
from fmanet_mm.engine.loop import seed_generators


@DATASETS.register_module()
class NoisyDataset(Dataset):
    """Gives the index and what each generator draws."""

    metainfo = {}

    def __len__(self):
        return 5

    def __getitem__(self, index):
        drawn = [random.random(), np.random.random(), torch.rand(()).item()]
        return dict(inputs=torch.tensor([float(index), *drawn]))


@MODELS.register_module()
class DropoutModel(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)
        self.seen = []

    def forward(self, inputs, mode):
        if mode != 'loss':
            return list(torch.rand(len(inputs)))
        self.seen.append(inputs)
        output = torch.nn.functional.dropout(self.layer(inputs), 0.5)
        return dict(loss=output.square().mean())


@METRICS.register_module()
class NoMetric(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(random.random() + np.random.random())

    def compute_metrics(self, results):
        return dict(any=sum(results))


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(AmpOptimWrapper):
    """MMEngine's wrapper with a scaler for CPUs, whose scale grows each second step."""

    def __init__(self, **kwargs):
        OptimWrapper.__init__(self, **kwargs)
        self.loss_scaler = torch.amp.GradScaler('cpu', growth_interval=2)
        self.cast_dtype = torch.bfloat16
        self._scale_update_param = None


def train(
    work_dir,
    iters,
    resume=None,
    workers=0,
    wrapper='OptimWrapper',
    dataset='NoisyDataset',
    **kwargs,
):
    loader = dict(
        dataset=dict(type=dataset),
        batch_size=2,
        collate_fn=dict(type='default_collate'),
    )
    shuffled = dict(type='InfiniteSampler', shuffle=True)
    runner = SafeRunner(
        model=dict(type='DropoutModel'),
        work_dir=str(work_dir),
        train_dataloader=dict(
            **loader,
            sampler=shuffled,
            num_workers=workers,
            persistent_workers=workers > 0,
        ),
        train_cfg=dict(type='ResumableTrainLoop', max_iters=iters, val_interval=3),
        optim_wrapper=dict(type=wrapper, optimizer=dict(type='Adam', lr=0.1)),
        param_scheduler=dict(type='MultiStepLR', by_epoch=False, milestones=[2, 5]),
        val_dataloader=dict(
            **loader, sampler=dict(type='DefaultSampler', shuffle=False)
        ),
        val_cfg=dict(),
        val_evaluator=dict(type='NoMetric'),
        default_hooks=dict(
            checkpoint=dict(type='SafeCheckpointHook', interval=1, by_epoch=False)
        ),
        load_from=resume and str(resume),
        resume=bool(resume),
        default_scope='mmagic',
        **kwargs,
    )
    runner.train()
    state = runner.optim_wrapper.state_dict()
    losses, _ = runner.message_hub.get_scalar('train/loss').data
    return (
        runner.model,
        state,
        losses,
        [s.state_dict() for s in runner.param_schedulers],
    )


def assert_same(one, other):
    (model, state, losses, schedulers), (model_2, state_2, losses_2, schedulers_2) = (
        one,
        other,
    )
    for key, value in model.state_dict().items():
        assert torch.equal(value, model_2.state_dict()[key])
    for index, moments in state['state'].items():
        for key, value in moments.items():
            assert torch.equal(value, state_2['state'][index][key])
    assert state['param_groups'] == state_2['param_groups']
    assert state.get('loss_scaler') == state_2.get('loss_scaler')
    assert list(losses) == list(losses_2)
    assert schedulers == schedulers_2


@pytest.fixture(scope='module')
def in_one_go(tmp_path_factory):
    folder = tmp_path_factory.mktemp('in_one_go')
    return folder, train(folder, 7)


# Without a seed in the config; it comes with the checkpoint. The validation after
# iteration 3 is part of the run in one go alone.
@pytest.mark.parametrize(('done', 'workers'), [(3, 0), (4, 2)])
def test_a_resumed_run_is_the_run_in_one_go(tmp_path, in_one_go, done, workers):
    folder, expected = in_one_go
    resumed = train(tmp_path, 7, folder / f'iter_{done}.pth', workers)
    assert_same(resumed, expected)
    for batch, expected_batch in zip(
        resumed[0].seen, expected[0].seen[done:], strict=True
    ):
        assert torch.equal(batch, expected_batch)


def test_the_scale_of_mixed_precision_goes_on(tmp_path):
    expected = train(tmp_path / 'a', 7, wrapper='CpuAmpOptimWrapper')
    checkpoint = tmp_path / 'a' / 'iter_3.pth'
    resumed = train(tmp_path / 'b', 7, checkpoint, wrapper='CpuAmpOptimWrapper')
    assert expected[1]['loss_scaler']['scale'] == 2**16 * 2**3
    assert expected[1]['loss_scaler']['_growth_tracker'] == 1
    assert_same(resumed, expected)


def test_the_log_keeps_the_newest_values(tmp_path, in_one_go, monkeypatch):
    monkeypatch.setattr(loop, 'LOG_LENGTH', 3)
    folder, (_, _, losses, _) = in_one_go
    resumed = train(tmp_path, 7, folder / 'iter_5.pth')
    assert list(resumed[2]) == list(losses[-3:])
    checkpoint = read_checkpoint(str(tmp_path / 'iter_7.pth'))
    assert len(checkpoint['message_hub']['log_scalars']['train/loss'].data[0]) == 3


def test_the_samples_of_a_run_differ(in_one_go):
    batches = torch.cat(in_one_go[1][0].seen)
    assert sorted(batches[:5, 0].tolist()) == [0, 1, 2, 3, 4]
    assert len(batches[:, 1:].unique()) == 3 * len(batches)


def test_every_process_draws_its_part_of_one_stream():
    whole = PositionedSampler(range(5), seed=3)
    draws = [draw for draw, _ in zip(whole, range(24), strict=False)]
    assert [draw.position for draw in draws] == list(range(24))
    assert sorted(draw.index for draw in draws[5:10]) == [0, 1, 2, 3, 4]
    for rank in range(3):
        part = PositionedSampler(range(5), seed=3)
        part.rank, part.world_size = rank, 3
        part.start = 4
        found = [draw for draw, _ in zip(part, range(4), strict=False)]
        assert found == draws[12 + rank :: 3]


def test_workers_and_their_number_do_not_matter():
    dataset = PositionedDataset(dict(type='NoisyDataset'))
    sampler = PositionedSampler(dataset, seed=0)

    def first(workers):
        loader = DataLoader(dataset, 2, sampler=sampler, num_workers=workers)
        return [
            batch['inputs'] for batch, _ in zip(iter(loader), range(4), strict=False)
        ]

    alone = first(0)
    for workers in (1, 2):
        for batch, expected in zip(first(workers), alone, strict=True):
            assert torch.equal(batch, expected)


def resume_on_the_first_machine(rank, folder, checkpoint):
    address = f'file://{folder}/rendezvous'
    torch.distributed.init_process_group('gloo', address, rank=rank, world_size=2)
    with pytest.raises(ValueError, match=r'checkpoints: iter_3.pth, none. .*share'):
        train(folder / str(rank), 7, checkpoint if rank == 0 else None)


def test_machines_that_share_no_checkpoint_are_refused(tmp_path, in_one_go):
    arguments = tmp_path, in_one_go[0] / 'iter_3.pth'
    mp.start_processes(
        resume_on_the_first_machine, arguments, nprocs=2, start_method='fork'
    )


@DATASETS.register_module()
class CutOffDataset(NoisyDataset):
    """Fails as a worker does that dies while it hands over a sample."""

    def __getitem__(self, index):
        raise ConnectionResetError(104, 'Connection reset by peer')


def test_a_worker_that_dies_while_it_hands_over_a_batch_is_named(tmp_path):
    with pytest.raises(RuntimeError, match='reset by peer.*worker may have exited'):
        train(tmp_path, 7, dataset='CutOffDataset')


def test_the_signal_of_its_death_says_more_and_is_waited_for(tmp_path, monkeypatch):
    def arrive(seconds):
        raise RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed.')

    monkeypatch.setattr('time.sleep', arrive)
    with pytest.raises(RuntimeError, match='pid 7'):
        train(tmp_path, 7, dataset='CutOffDataset')


def test_generators_depend_on_each_word_of_the_key():
    def draw(*key):
        seed_generators(*key)
        return random.random(), np.random.random(), torch.rand(()).item()

    assert draw(1, 0, 5) == draw(1, 0, 5)
    others = {draw(1, 0, 5), draw(2, 0, 5), draw(1, 1, 5), draw(1, 0, 6), draw(1, 0)}
    assert len(others) == 5


def test_another_sampler_is_refused(tmp_path):
    runner = SafeRunner(
        model=dict(type='DropoutModel'),
        work_dir=str(tmp_path),
        train_dataloader=dict(
            dataset=dict(type='NoisyDataset'),
            sampler=dict(type='DefaultSampler'),
            batch_size=2,
        ),
        train_cfg=dict(type='ResumableTrainLoop', max_iters=1),
        optim_wrapper=dict(optimizer=dict(type='Adam')),
        default_scope='mmagic',
    )
    with pytest.raises(ValueError, match='InfiniteSampler.*got DefaultSampler'):
        runner.train()
