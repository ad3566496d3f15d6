"""Training on a set with some damaged files."""

import logging
from collections.abc import Iterator

import numpy as np
import torch
from mmagic.registry import DATASETS
from mmengine.logging import print_log
from torch.utils.data import Dataset


@DATASETS.register_module()
class SkipBadSamples(Dataset):
    """Replace samples that cannot be loaded by others; count and report them.

    Without this wrapper, training stops at such a sample. The replacement depends only
    on the index, so it is the same in every process and in a resumed run. A bad sample
    is logged the first time, with the file and the count so far. The workers of a
    loader share the count; each process of a distributed run has its own.

    Args:
        dataset (dict): Config of the dataset.
        max_bad_samples (int): Largest number of different samples that are replaced.

    Raises:
        ValueError: If ``max_bad_samples`` is not between 1 and the number of samples
            minus one; while loading, if more samples are bad.
    """

    def __init__(self, dataset: dict, max_bad_samples: int) -> None:
        self.dataset = DATASETS.build(dataset)
        if not 1 <= max_bad_samples < len(self.dataset):
            raise ValueError(
                f'max_bad_samples must be at least 1 and less than the '
                f'{len(self.dataset)} samples of the dataset, got {max_bad_samples}'
            )
        self.max_bad_samples = max_bad_samples
        # Shared with the workers of the loader.
        self._is_bad = torch.zeros(len(self.dataset), dtype=torch.bool).share_memory_()

    @property
    def metainfo(self) -> dict:
        """Meta information of the dataset."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Do nothing: the dataset is initialised already."""

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        for candidate in self._candidates(index):
            try:
                return self.dataset[candidate]
            except (OSError, ValueError) as error:
                self._note(candidate, error)

    def _candidates(self, index: int) -> Iterator[int]:
        yield index
        yield from np.random.default_rng(index).permutation(len(self)).tolist()

    def _note(self, index: int, error: Exception) -> None:
        is_known = bool(self._is_bad[index])
        self._is_bad[index] = True
        count = int(self._is_bad.sum())
        if count > self.max_bad_samples:
            raise ValueError(
                f'{count} of {len(self)} samples cannot be loaded, more than '
                f'max_bad_samples={self.max_bad_samples}; the last one: {error}; '
                'tools/analysis_tools/check_dataset.py lists all faults'
            ) from error
        if not is_known:
            # Processes other than the first show only errors.
            print_log(
                f'Skipped bad sample {count} of at most {self.max_bad_samples}: '
                f'{error}',
                logger='current',
                level=logging.ERROR,
            )
