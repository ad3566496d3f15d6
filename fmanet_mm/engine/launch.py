"""Command line and runner of ``tools/train.py`` and ``tools/test.py``."""

import argparse
import atexit
import os
import sys
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log

from .runner import SafeRunner


def existing_file(name: str) -> str:
    """Argument type: a file that exists, or an address (``://``)."""
    if '://' not in name and not Path(name).is_file():
        raise argparse.ArgumentTypeError(f'there is no file {name}; check the path')
    return name


def base_parser(description: str) -> argparse.ArgumentParser:
    """Build a parser with the arguments common to training and testing."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', type=existing_file, help='config file')
    parser.add_argument(
        '--work-dir',
        help='folder of logs and checkpoints (default: work_dir of the config, '
        'else work_dirs/<name of the config>)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. train_cfg.max_iters=100 '
        'model.loss.weight=0.1 key="[a,b]"',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes of a distributed run were started (default: none)',
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='let checkpoints execute the code that they contain; needed for old ones '
        'that hold more than weights; only for files of your own',
    )
    return parser


def load_config(args: argparse.Namespace) -> Config:
    """Read the config named in ``args`` and apply the common arguments.

    Args:
        args (Namespace): Result of a :func:`base_parser`.

    Returns:
        Config: Config with ``work_dir`` and ``launcher`` set.
    """
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    cfg.launcher = args.launcher
    default = Path('work_dirs', Path(args.config).stem)
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(default)
    return cfg


def build_runner(
    cfg: Config, hooks: list[Hook], trust_checkpoint: bool = False
) -> SafeRunner:
    """Build the runner, on CPUs if there is no GPU, and report where it writes.

    Args:
        cfg (Config): Result of :func:`load_config`.
        hooks (list[Hook]): Hooks besides those of the config.
        trust_checkpoint (bool): See :class:`SafeRunner`.

    Returns:
        SafeRunner: Ready to train or test.
    """
    if cfg.launcher != 'none' and not torch.cuda.is_available():
        _distribute_over_cpus(cfg)
    runner = SafeRunner.from_cfg(cfg)
    runner.trust_checkpoint = trust_checkpoint
    for hook in hooks:
        runner.register_hook(hook)
    print_log(f'Logs and checkpoints go to {runner.work_dir}', logger='current')
    return runner


def end_process() -> None:
    """End a process of a distributed run that succeeded; without one, return.

    Threads of gloo may release tensors late. While the interpreter is finalized, that
    aborts the process (PyTorch's pull request 179291); so it is not finalized.
    """
    if not torch.distributed.is_initialized():
        return
    torch.distributed.destroy_process_group()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _distribute_over_cpus(cfg: Config) -> None:
    """Start the process group here, since MMEngine's own start needs a GPU."""
    if cfg.launcher != 'pytorch':
        raise RuntimeError(
            f'--launcher {cfg.launcher} needs GPUs and none was found; '
            'on CPUs, use tools/dist_train.sh or tools/dist_test.sh'
        )
    torch.distributed.init_process_group('gloo')
    if is_main_process():
        print_log('No GPU found: running on CPUs with gloo')
    cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **(cfg.get('model_wrapper_cfg') or {}),
        'device_ids': None,
    }
