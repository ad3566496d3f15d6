"""Turn Princeton's RAFT weights (small or basic) into an MMFlow checkpoint."""

import argparse
import os
from pathlib import Path

import torch

from fmanet_mm.flow.checkpoint import load_checkpoint
from fmanet_mm.flow.raft_converter import ARCHITECTURES, convert_raft


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', help='raft-small.pth, raft-things.pth, ...')
    parser.add_argument('out', type=Path, help='checkpoint to write')
    parser.add_argument(
        '--architecture', choices=ARCHITECTURES, default='small', help='default: small'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    source, _ = load_checkpoint(args.source)
    weights = convert_raft(source, args.architecture)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    temporary = args.out.with_name(f'.{args.out.name}.{os.getpid()}.tmp')
    try:
        torch.save(dict(meta=dict(channel_order='rgb'), state_dict=weights), temporary)
        os.replace(temporary, args.out)
    finally:
        temporary.unlink(missing_ok=True)
    config = ARCHITECTURES[args.architecture]
    print(
        f'Wrote {args.out}, to be used as dict(type="MMFlowEstimator", '
        f'config="{config}", checkpoint="{args.out}").'
    )


if __name__ == '__main__':
    main()
