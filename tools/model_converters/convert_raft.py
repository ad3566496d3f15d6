"""Convert Princeton's RAFT weights (small or basic) to an MMFlow checkpoint."""

import argparse
from pathlib import Path

from fmanet_mm.flow.checkpoint import load_checkpoint
from fmanet_mm.flow.raft_converter import ARCHITECTURES, convert_raft
from fmanet_mm.utils.checkpoint import save_checkpoint_file
from fmanet_mm.utils.names import print_any_name


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', help='raft-small.pth, raft-things.pth, ...')
    parser.add_argument('out', type=Path, help='checkpoint to write')
    parser.add_argument(
        '--architecture', choices=ARCHITECTURES, default='small', help='default: small'
    )
    return parser.parse_args()


def main() -> None:
    print_any_name()
    args = parse_args()
    source, _ = load_checkpoint(args.source)
    weights = convert_raft(source, args.architecture)
    checkpoint = dict(meta=dict(channel_order='rgb'), state_dict=weights)
    save_checkpoint_file(checkpoint, args.out)
    config = ARCHITECTURES[args.architecture]
    print(
        f'Wrote {args.out}; use it as dict(type="MMFlowEstimator", '
        f'config="{config}", checkpoint="{args.out}")'
    )


if __name__ == '__main__':
    main()
