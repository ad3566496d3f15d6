"""Training that can be stopped anywhere and goes on as if it had not been.

Chance has no state that would have to be saved: what is drawn for a sample depends on
the seed and the sample's position in the stream of samples, what is drawn by the model
on the seed and the iteration. The number of loader workers, what they have loaded ahead
and validations in between do not matter.
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

# What chance is used for; the first word of the key of a generator's state.
OF_SAMPLE, OF_ITERATION = range(2)
# Values kept of what is logged. MMEngine would keep a million, copy them in each
# iteration, and save them with each checkpoint.
LOG_LENGTH = 10_000
# Seconds, at most, from a worker's broken connection to the signal of its death.
SIGNAL_WAIT = 2


def seed_generators(seed: int, *key: int) -> None:
    """Set the generators of Python, NumPy and PyTorch to a state of their own.

    Args:
        seed (int): Seed of the run.
        *key (int): Tells one state from another.
    """
    (word,) = np.random.SeedSequence(seed, spawn_key=key).generate_state(1)
    random.seed(int(word))
    np.random.seed(word)
    torch.manual_seed(int(word))


class Draw(NamedTuple):
    """A sample to load.

    Attributes:
        index (int): Of the sample in the dataset.
        position (int): Of the draw in the stream of all processes.
        seed (int): Of the stream.
    """

    index: int
    position: int
    seed: int


@DATA_SAMPLERS.register_module()
class DrawSampler(InfiniteSampler):
    """MMEngine's ``InfiniteSampler``, which can start anywhere in its stream.

    Args:
        *args: See ``InfiniteSampler``.
        **kwargs: See ``InfiniteSampler``.

    Attributes:
        start (int): How many samples of each process to leave out.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.start = 0

    def __iter__(self) -> Iterator[Draw]:
        """Give the draws of this process, without end."""
        first = self.start * self.world_size + self.rank
        stream = enumerate(self._infinite_indices())
        for position, index in islice(stream, first, None, self.world_size):
            yield Draw(index, position, self.seed)


@DATASETS.register_module()
class DrawDataset(Dataset):
    """A dataset whose random transforms depend on the draw alone.

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
        """Initialise the dataset, if it was to wait."""
        if hasattr(self.dataset, 'full_init'):
            self.dataset.full_init()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: Draw) -> dict:
        seed_generators(draw.seed, OF_SAMPLE, draw.position)
        return self.dataset[draw.index]


@LOOPS.register_module()
class ResumableTrainLoop(IterBasedTrainLoop):
    """Iterations that go on from a checkpoint as if they had not been interrupted.

    With the same number of processes and the same batch size, the samples, their
    random transforms and the model's dropout are those of a run in one go. The samples
    before are not loaded again. Another number of processes with the same batch size
    in all trains on the same samples, and logs the same losses: their means over the
    processes. Of accumulated gradients nothing is saved: let the
    interval of checkpoints be a multiple of ``accumulative_counts``.

    Args:
        runner (Runner): The runner.
        dataloader (dict): Config of the loader; its sampler is an ``InfiniteSampler``.
        **kwargs: See MMEngine's ``IterBasedTrainLoop``.

    Raises:
        ValueError: If the sampler is another one.
    """

    def __init__(self, runner: Runner, dataloader: dict, **kwargs) -> None:
        super().__init__(runner, _loader_of_draws(dataloader), **kwargs)

    def run(self) -> torch.nn.Module:
        """Train, from the iteration that was resumed.

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
        """Train on a batch."""
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
            # PyTorch says which worker died when the signal of its death arrives.
            time.sleep(SIGNAL_WAIT)
            raise RuntimeError(
                f'No batch came from the data loader ({error!r}). A DataLoader worker '
                'may have exited unexpectedly. If the system killed it for want of '
                'memory, lower train_dataloader.num_workers.'
            ) from error

    def _skip_samples(self) -> None:
        """Start the loader anew where the checkpoint left off."""
        batches = self.dataloader.batch_sampler
        batches.sampler.start = self._iter * batches.batch_size
        # The seed came with the checkpoint, too.
        seed = torch.tensor(self.runner.seed)
        broadcast(seed)
        batches.sampler.seed = seed.item()
        self.dataloader_iterator = None
        self.dataloader_iterator = iter(self.dataloader)

    def _is_time_to_validate(self) -> bool:
        due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
        return self.runner.val_loop is not None and self._iter >= self.val_begin and due


def _loader_of_draws(dataloader: dict) -> ConfigDict:
    sampler = dataloader['sampler']
    if sampler['type'] != 'InfiniteSampler':
        raise ValueError(
            'ResumableTrainLoop needs an InfiniteSampler in train_dataloader, got '
            f'{sampler["type"]}. Use it, or IterBasedTrainLoop.'
        )
    return ConfigDict(
        {
            **dataloader,
            'sampler': {**sampler, 'type': 'DrawSampler'},
            'dataset': dict(type='DrawDataset', dataset=dataloader['dataset']),
        }
    )
