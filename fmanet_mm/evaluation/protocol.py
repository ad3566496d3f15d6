"""Which frames and pixels are measured, and what on them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """A way to measure.

    Images are rounded to uint8, and means are taken over the frames of all clips.

    Attributes:
        name (str): Name of the protocol.
        border (int): Pixels left out at each side by PSNR and SSIM.
        skipped (int): Frames left out at each end of a clip.
        measures (tuple[str]): What is measured unless told.
    """

    name: str
    border: int
    skipped: int
    measures: tuple[str, ...]

    def select(self, frames: Sequence) -> Sequence:
        """Take the frames of a clip that count."""
        return frames[self.skipped : len(frames) - self.skipped]

    def describe(self) -> str:
        """Say in one line how is measured."""
        frames = 'all frames'
        if self.skipped:
            frames = f'all frames but {self.skipped} at each end of a clip'
        return (
            f'protocol {self.name}: uint8, {frames}, a border of {self.border} pixels '
            'left out by PSNR and SSIM, means over the frames of all clips'
        )


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        # Section 4 of the paper and the authors' evaluation: 98 of 100 frames on REDS4.
        Protocol('published', border=4, skipped=1, measures=('PSNR', 'SSIM', 'tOF')),
        Protocol(
            'full',
            border=0,
            skipped=0,
            measures=('PSNR', 'SSIM', 'PSNR-Y', 'SSIM-Y', 'tOF'),
        ),
    )
}


def get_protocol(name: str) -> Protocol:
    """Look a protocol up.

    Raises:
        ValueError: If there is none of the name.
    """
    if name not in PROTOCOLS:
        raise ValueError(f'protocol must be one of {[*PROTOCOLS]}, got {name!r}.')
    return PROTOCOLS[name]
