"""Distribution of test samples over processes."""

from collections.abc import Iterator

import numpy as np
from mmagic.registry import DATA_SAMPLERS
from mmengine.dataset import DefaultSampler


@DATA_SAMPLERS.register_module()
class ContiguousSampler(DefaultSampler):
    """Give every process a run of consecutive samples, all of equal length.

    MMEngine's ``DefaultSampler`` deals samples out in turn, so that no process gets two
    consecutive frames, which tOF compares. If the division leaves a remainder, the last
    processes repeat their last sample; MMEngine drops repeats from its results.

    Args:
        dataset (Sized): Dataset in order of time.
        seed (int, optional): Not used.
    """

    def __init__(self, dataset, seed: int | None = None) -> None:
        super().__init__(dataset, shuffle=False, seed=seed or 0)

    def __iter__(self) -> Iterator[int]:
        stretches = np.array_split(np.arange(len(self.dataset)), self.world_size)
        stretch = stretches[self.rank].tolist()
        last = stretch[-1] if stretch else len(self.dataset) - 1
        return iter(stretch + [last] * (self.num_samples - len(stretch)))
