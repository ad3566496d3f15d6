"""Arguments that the tools that measure files share."""

import argparse
from pathlib import Path

from .measures import FRAME_MEASURES, PAIR_MEASURES
from .protocol import PROTOCOLS


def add_protocol_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--protocol``, ``--measures`` and ``--ann-file``.

    Args:
        parser (ArgumentParser): The tool's.
    """
    parser.add_argument(
        '--protocol',
        choices=[*PROTOCOLS],
        default='published',
        help='(default: published)',
    )
    parser.add_argument(
        '--measures',
        nargs='+',
        choices=FRAME_MEASURES + PAIR_MEASURES,
        help='measures, instead of those of the protocol',
    )
    parser.add_argument(
        '--ann-file', type=Path, help='file with the clips to measure (default: all)'
    )
