"""Training that can be stopped anywhere and resumed with identical results.

No RNG state needs saving: random numbers for a sample depend on the seed and the
sample's position in the stream of samples, those of the model on the seed and the
iteration. The number of loader workers, their prefetching and validations in between
do not matter.
"""

import random
import time
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from mmagic.registry import DATA_SAMPLERS, DATASETS, LOOPS
from mmengine.config import ConfigDict
from mmengine.dataset import InfiniteSampler
from mmengine.dist import all_reduce_dict, broadcast
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import Dataset

OF_SAMPLE, OF_ITERATION = range(2)
"""Random streams; first element of the spawn key."""

LOG_LENGTH = 10_000
"""Values kept of each logged number.

MMEngine would keep a million, copy them in each iteration, and save them with each
checkpoint.
"""

SIGNAL_WAIT = 2
"""Longest time, in seconds, from a worker's broken connection to its SIGCHLD."""


def seed_generators(seed: int, *key: int) -> None:
    """Seed the generators of Python, NumPy and PyTorch.

    Args:
        seed (int): Seed of the run.
        *key (int): Spawn key; different keys give independent streams.
    """
    (word,) = np.random.SeedSequence(seed, spawn_key=key).generate_state(1)
    random.seed(int(word))
    np.random.seed(word)
    torch.manual_seed(int(word))


class StreamPosition(NamedTuple):
    """A sample to load and its place in the stream of samples.

    Attributes:
        index (int): Index of the sample in the dataset.
        position (int): Position in the stream of all processes.
        seed (int): Seed of the stream.
    """

    index: int
    position: int
    seed: int


@DATA_SAMPLERS.register_module()
class PositionedSampler(InfiniteSampler):
    """MMEngine's ``InfiniteSampler`` that can start anywhere in its stream.

    Args:
        *args: See ``InfiniteSampler``.
        **kwargs: See ``InfiniteSampler``.

    Attributes:
        start (int): Number of samples to skip in each process.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.start = 0

    def __iter__(self) -> Iterator[StreamPosition]:
        """Yield the samples of this process, without end."""
        first = self.start * self.world_size + self.rank
        stream = enumerate(self._infinite_indices())
        for position, index in islice(stream, first, None, self.world_size):
            yield StreamPosition(index, position, self.seed)


@DATASETS.register_module()
class PositionedDataset(Dataset):
    """A dataset whose random transforms depend only on the position in the stream.

    Args:
        dataset (dict): Config of the dataset.
    """

    def __init__(self, dataset: dict) -> None:
        self.dataset = DATASETS.build(dataset)

    @property
    def metainfo(self) -> dict:
        """Meta information of the dataset."""
        return getattr(self.dataset, 'metainfo', {})

    def full_init(self) -> None:
        """Initialise the dataset if that was deferred."""
        if hasattr(self.dataset, 'full_init'):
            self.dataset.full_init()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: StreamPosition) -> dict:
        seed_generators(place.seed, OF_SAMPLE, place.position)
        return self.dataset[place.index]


@LOOPS.register_module()
class ResumableTrainLoop(IterBasedTrainLoop):
    """Training loop that resumes exactly where a checkpoint was saved.

    With the same number of processes and batch size, the samples, their random
    transforms and the model's dropout are those of an uninterrupted run. Earlier
    samples are not loaded again. Another number of processes with the same total batch
    size trains on the same samples and logs the same losses, which are means over the
    processes. Accumulated gradients are not saved: the interval of checkpoints should
    be a multiple of ``accumulative_counts``.

    Args:
        runner (Runner): The runner.
        dataloader (dict): Config of the loader; its sampler is an ``InfiniteSampler``.
        **kwargs: See MMEngine's ``IterBasedTrainLoop``.

    Raises:
        ValueError: If the sampler is not an ``InfiniteSampler``.
    """

    def __init__(self, runner: Runner, dataloader: dict, **kwargs) -> None:
        super().__init__(runner, _use_positions(dataloader), **kwargs)

    def run(self) -> torch.nn.Module:
        """Train until ``max_iters``, from the resumed iteration if there is one.

        Returns:
            nn.Module: The model.
        """
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        if self._iter > 0:
            self._skip_samples()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(self._next_batch())
            self._decide_current_val_interval()
            if self._is_time_to_validate():
                self.runner.val_loop.run()
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_iter(self, data_batch: dict) -> None:
        """Train on one batch."""
        runner = self.runner
        seed_generators(runner.seed, OF_ITERATION, self._iter, runner.rank)
        where = dict(batch_idx=self._iter, data_batch=data_batch)
        runner.call_hook('before_train_iter', **where)
        losses = runner.model.train_step(data_batch, runner.optim_wrapper)
        all_reduce_dict(losses, 'mean')
        runner.call_hook('after_train_iter', outputs=losses, **where)
        for history in runner.message_hub.log_scalars.values():
            history.max_length = LOG_LENGTH
        self._iter += 1

    def _next_batch(self) -> dict:
        try:
            return next(self.dataloader_iterator)
        except (ConnectionError, EOFError) as error:
            # PyTorch reports which worker died once SIGCHLD arrives.
            time.sleep(SIGNAL_WAIT)
            raise RuntimeError(
                f'no batch came from the data loader ({error!r}); a DataLoader worker '
                'may have exited unexpectedly; if the system killed it because memory '
                'ran out, lower train_dataloader.num_workers'
            ) from error

    def _skip_samples(self) -> None:
        """Restart the loader where the checkpoint was saved."""
        batches = self.dataloader.batch_sampler
        batches.sampler.start = self._iter * batches.batch_size
        # The seed was restored from the checkpoint.
        seed = torch.tensor(self.runner.seed)
        broadcast(seed)
        batches.sampler.seed = seed.item()
        self.dataloader_iterator = None
        self.dataloader_iterator = iter(self.dataloader)

    def _is_time_to_validate(self) -> bool:
        due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
        return self.runner.val_loop is not None and self._iter >= self.val_begin and due


def _use_positions(dataloader: dict) -> ConfigDict:
    sampler = dataloader['sampler']
    if sampler['type'] != 'InfiniteSampler':
        raise ValueError(
            'ResumableTrainLoop needs an InfiniteSampler in train_dataloader, got '
            f'{sampler["type"]}; use that, or IterBasedTrainLoop'
        )
    return ConfigDict(
        {
            **dataloader,
            'sampler': {**sampler, 'type': 'PositionedSampler'},
            'dataset': dict(type='PositionedDataset', dataset=dataloader['dataset']),
        }
    )
