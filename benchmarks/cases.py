"""Tasks, and the cases in which each is measured."""

from argparse import ArgumentTypeError
from dataclasses import dataclass

VARIANTS = dict(
    frame=('plain', 'window', 'stream'),
    clip=('plain', 'window', 'stream'),
    training=('plain', 'package', 'checkpointed'),
)
DTYPES = ('fp32', 'tf32', 'bf16', 'fp16')


@dataclass(frozen=True)
class Case:
    """One way to compute a task.

    Attributes:
        variant (str): One of :data:`VARIANTS`.
        dtype (str): One of :data:`DTYPES`; half precision is autocast.
        compile_mode (str, optional): Mode of ``torch.compile``; None: not compiled.
    """

    variant: str
    dtype: str
    compile_mode: str | None = None

    def __str__(self) -> str:
        compiled = f' compiled ({self.compile_mode})' if self.compile_mode else ''
        return f'{self.variant} {self.dtype}{compiled}'


REFERENCE = Case('plain', 'fp32')
"""The case to which the others are compared."""


@dataclass(frozen=True)
class Task:
    """What is computed.

    Attributes:
        kind (str): 'frame': the next of an endless clip; 'clip': a complete clip;
            'training': a step of stage 2.
        count (int): Frames of the clip; of an endless one those that a stream computes
            at once; or windows of the batch.
        height (int): Of the LR frames.
        width (int): Width of the LR frames.
        tiny (bool): Whether to use a tiny network instead of the published one.
        memory_budget (float, optional): For streams, in GiB; see
            :class:`~fmanet_mm.restoration.StreamingRestorer`.
    """

    kind: str
    count: int
    height: int
    width: int
    tiny: bool = False
    memory_budget: float | None = None

    @property
    def pixels(self) -> int:
        """LR pixels that a call restores or learns from."""
        return self.count * self.height * self.width

    def __str__(self) -> str:
        size = f'{self.height}x{self.width}'
        batch = ', batches of {}' if self.count > 1 else ''
        counts = dict(frame=batch, clip=', clip length {}', training=', batch {}')
        budget = self.memory_budget and f', streams within {self.memory_budget:g} GiB'
        tiny = self.tiny and ', tiny network'
        count = counts[self.kind].format(self.count)
        return size + count + (budget or '') + (tiny or '')


def frame_size(text: str) -> tuple[int, int]:
    """Read HxW, for argparse."""
    height, _, width = text.partition('x')
    if not (height.isdecimal() and width.isdecimal() and int(height) * int(width)):
        raise ArgumentTypeError(f'must be HxW, such as 180x320, got {text!r}')
    return int(height), int(width)
