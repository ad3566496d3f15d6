"""Protocols: which frames and pixels are measured, and how."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """A protocol of measuring.

    Images are rounded to uint8, and means are taken over the frames of all clips.

    Attributes:
        name (str): Name of the protocol.
        border (int): Pixels that PSNR and SSIM ignore on each side.
        skipped (int): Frames ignored at each end of a clip.
        measures (tuple[str]): Measures taken by default.
    """

    name: str
    border: int
    skipped: int
    measures: tuple[str, ...]

    def select(self, frames: Sequence) -> Sequence:
        """Select the frames of a clip that are measured."""
        return frames[self.skipped : len(frames) - self.skipped]

    def describe(self) -> str:
        """One-line description."""
        frames = 'all frames'
        if self.skipped:
            frames = f'all frames but {self.skipped} at each end of a clip'
        return (
            f'protocol {self.name}: uint8, {frames}, PSNR and SSIM without a border of '
            f'{self.border} pixels, means over the frames of all clips'
        )


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        # Section 4 of the paper and the authors' code: 98 of 100 frames on REDS4.
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
    """Look up a protocol by name.

    Raises:
        ValueError: If there is no such protocol.
    """
    if name not in PROTOCOLS:
        raise ValueError(f'protocol must be one of {[*PROTOCOLS]}, got {name!r}')
    return PROTOCOLS[name]
