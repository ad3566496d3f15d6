"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``."""

import argparse
from pathlib import Path

from fmanet_mm.engine import (
    SaveMetricsHook,
    StrictCheckpointHook,
    adopt_network,
    base_parser,
    build_runner,
    end_process,
    existing_file,
    load_config,
)
from fmanet_mm.evaluation import EvaluationReportHook

METRIC_FILES = ('.json', '.yml', '.yaml', '.pkl')


def metric_file(name: str) -> str:
    if Path(name).suffix not in METRIC_FILES:
        raise argparse.ArgumentTypeError(
            f'{name} must end in {", ".join(METRIC_FILES)}'
        )
    return name


def parse_args():
    parser = base_parser('Evaluate a checkpoint.')
    parser.add_argument(
        'checkpoint',
        nargs='?',
        type=existing_file,
        help='checkpoint file or address; needed unless the model has no weights; an '
        'exported .safetensors file brings its architecture along',
    )
    parser.add_argument(
        '--out',
        type=metric_file,
        metavar='FILE',
        help=f'write the metrics to this file ({", ".join(METRIC_FILES)})',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    cfg.load_from = args.checkpoint
    cfg.resume = False
    hooks = [EvaluationReportHook()]
    if args.checkpoint:
        adopt_network(cfg, args.checkpoint)
        hooks.append(StrictCheckpointHook(args.checkpoint))
    if args.out:
        hooks.append(SaveMetricsHook(args.out))
    runner = build_runner(cfg, hooks, args.trust_checkpoint)
    if not args.checkpoint and any(True for _ in runner.model.parameters()):
        raise ValueError(
            f'{args.config} describes a model with weights, which would be random; '
            'name a checkpoint (test.py CONFIG CHECKPOINT)'
        )
    runner.test()
    end_process()


if __name__ == '__main__':
    main()
