"""Make the flow files of a VSRDB set from its sharp low-resolution frames."""

import argparse
from pathlib import Path

import torch
from mmengine.config import Config

from fmanet_mm.flow import generate_flow
from fmanet_mm.utils.names import print_any_name

ESTIMATORS = Path(__file__).parents[1] / 'configs/_base_/flow'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('--data-root', type=Path, required=True, help='root of the set')
    parser.add_argument(
        '--sharp-lr', default='train_sharp_bicubic/X4', help='frames, below the root'
    )
    parser.add_argument(
        '--out', default='train_flow/X4', help='flow files, below the root'
    )
    parser.add_argument(
        '--ann-file',
        help='file with the clips to process, below the root; by default all',
    )
    parser.add_argument(
        '--num-frames', type=int, default=3, help='window length T, odd'
    )
    parser.add_argument('--dtype', choices=['float16', 'float32'], default='float16')
    how = parser.add_mutually_exclusive_group()
    how.add_argument('--method', choices=['raft', 'dis'], default='raft')
    how.add_argument(
        '--config', help='config file with a `flow_estimator`, instead of a method'
    )
    parser.add_argument(
        '--raft-config', help="'raft_small', or an MMFlow RAFT config (name or path)"
    )
    parser.add_argument('--raft-checkpoint', help='file or address of the weights')
    parser.add_argument('--batch-size', type=int, default=8, help='pairs per batch')
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu'
    )
    args = parser.parse_args()
    if args.method == 'dis' and (args.raft_config or args.raft_checkpoint):
        parser.error('--raft-config and --raft-checkpoint need --method raft')
    return args


def main() -> None:
    print_any_name()
    args = parse_args()
    config = Config.fromfile(args.config or ESTIMATORS / f'{args.method}.py')
    estimator = config.flow_estimator.to_dict()
    if args.raft_config:
        estimator['config'] = args.raft_config
    if args.raft_checkpoint:
        estimator['checkpoint'] = args.raft_checkpoint
    out = args.data_root / args.out
    print(f'Flow by {estimator} is written to {out}')
    written = generate_flow(
        args.data_root / args.sharp_lr,
        out,
        estimator,
        num_frames=args.num_frames,
        dtype=args.dtype,
        batch_size=args.batch_size,
        device=args.device,
        ann_file=args.ann_file and args.data_root / args.ann_file,
    )
    print(f'\n{written} flow files written; all others exist already')


if __name__ == '__main__':
    main()
