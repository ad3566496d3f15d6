"""Distribution of test samples over processes."""

from collections.abc import Iterator
from math import ceil

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
        at_most (int, optional): Number of samples to take, spread evenly over the
            dataset, as a quick estimate. By default all. Repeats then count.

    Raises:
        ValueError: If ``at_most`` is not positive.
    """

    def __init__(
        self, dataset, seed: int | None = None, at_most: int | None = None
    ) -> None:
        super().__init__(dataset, shuffle=False, seed=seed or 0)
        if at_most is not None and at_most < 1:
            raise ValueError(f'at_most must be positive, got {at_most}')
        count = min(at_most or len(dataset), len(dataset))
        # The middle of each of the equal parts.
        self._indices = ((np.arange(count) + 0.5) * len(dataset) / count).astype(int)
        self.num_samples = ceil(count / self.world_size)
        self.total_size = self.num_samples * self.world_size

    def __iter__(self) -> Iterator[int]:
        stretches = np.array_split(self._indices, self.world_size)
        stretch = stretches[self.rank].tolist()
        last = stretch[-1] if stretch else int(self._indices[-1])
        return iter(stretch + [last] * (self.num_samples - len(stretch)))
