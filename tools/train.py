"""Train a model: ``python tools/train.py configs/fmanet_stage1.py``."""

import torch
from mmengine.config import Config
from mmengine.logging import print_log

from fmanet_mm.engine import (
    FineTuneHook,
    StrictCheckpointHook,
    adopt_network,
    base_parser,
    build_runner,
    end_process,
    existing_file,
    find_resumable_checkpoint,
    load_config,
)


def parse_args():
    parser = base_parser('Train a model.')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        type=lambda name: name if name == 'auto' else existing_file(name),
        metavar='CHECKPOINT',
        help='resume from a checkpoint; without a name or with "auto", from the newest '
        'complete one in the work folder, or from the start if there is none',
    )
    parser.add_argument(
        '--from',
        dest='start',
        type=existing_file,
        metavar='CHECKPOINT',
        help='start from the weights of a trained network, to fine-tune it (default: '
        'load_from of the config); an exported .safetensors file brings its '
        'architecture along',
    )
    parser.add_argument(
        '--stage1',
        type=existing_file,
        metavar='CHECKPOINT',
        help='checkpoint of stage 1 that NetD starts from in stage 2 (default: that of '
        'the config, or with --from that file)',
    )
    parser.add_argument(
        '--exposure',
        type=existing_file,
        metavar='CHECKPOINT',
        help='checkpoint of the exposure extractor of FMA-Net++ (default: that of the '
        'config, or with --stage1 or --from that file, which this cannot replace)',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision: in bfloat16, or with loss scaling on GPUs without it',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the batch size of all processes over '
        'auto_scale_lr.base_batch_size of the config',
    )
    args = parser.parse_args()
    if args.exposure and (args.start or args.stage1):
        parser.error('--exposure: --from and --stage1 bring the extractor along')
    return args


def resume(cfg: Config, checkpoint: str, trust_checkpoint: bool) -> None:
    """Let the runner resume from ``checkpoint`` ('auto': the newest complete one)."""
    if checkpoint == 'auto':
        checkpoint = find_resumable_checkpoint(cfg.work_dir, trust_checkpoint)
    if checkpoint is None:
        print_log(f'Nothing to resume in {cfg.work_dir}: training from the start')
        cfg.resume = False
        return
    cfg.load_from = checkpoint
    cfg.resume = True


def start_from_stage_1(cfg: Config, checkpoint: str) -> None:
    """Let NetD start from ``checkpoint`` instead of the config's."""
    init_cfg = (cfg.model.get('net_d') or {}).get('init_cfg')
    if not init_cfg:
        raise ValueError(
            f'--stage1 sets model.net_d.init_cfg.checkpoint, but {cfg.filename} starts '
            'from no stage 1; name a config of stage 2, or omit --stage1'
        )
    init_cfg.checkpoint = checkpoint
    if exposure_init_cfg(cfg):
        # Stage 1 of FMA-Net++ holds the extractor that NetD was trained with.
        cfg.model.exposure.init_cfg.checkpoint = checkpoint


def use_exposure_extractor(cfg: Config, checkpoint: str) -> None:
    """Take the exposure extractor of ``checkpoint`` instead of the config's."""
    if not exposure_init_cfg(cfg):
        raise ValueError(
            f'--exposure sets model.exposure.init_cfg.checkpoint, but {cfg.filename} '
            'starts from no exposure extractor; name a config of FMA-Net++, or omit '
            '--exposure'
        )
    cfg.model.exposure.init_cfg.checkpoint = checkpoint


def exposure_init_cfg(cfg: Config) -> dict | None:
    """Where the config takes its exposure extractor from, if it has one."""
    return (cfg.model.get('exposure') or {}).get('init_cfg')


def start_from(cfg: Config, checkpoint: str, stage1: str | None) -> FineTuneHook:
    """Let the network start from ``checkpoint``, and NetD from ``stage1`` if given."""
    init_cfg = (cfg.model.get('net_d') or {}).get('init_cfg')
    adopt_network(cfg, checkpoint)
    cfg.load_from = checkpoint
    if init_cfg:
        cfg.model.setdefault('net_d', {})
        cfg.model.net_d.init_cfg = init_cfg if stage1 else None
    if exposure_init_cfg(cfg) and not stage1:
        cfg.model.exposure.init_cfg = None
    return FineTuneHook(keep_net_d=bool(stage1))


def enable_amp(cfg: Config) -> None:
    """Replace the optimizer wrapper by one with mixed precision.

    Without a GPU one that scales gradients, which needs a GPU, is replaced as well.
    """
    wrapper = cfg.optim_wrapper
    if wrapper.get('type', 'OptimWrapper') not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(
            f'--amp replaces an optim_wrapper of type OptimWrapper, but '
            f'{cfg.filename} has {wrapper.type}; omit --amp'
        )
    chosen = wrapper.get('type') == 'AmpOptimWrapper'
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    if torch.cuda.is_available() and (chosen or not bf16):
        wrapper.type = 'AmpOptimWrapper'
    else:
        wrapper.type = 'Bf16OptimWrapper'
        for setting in ('loss_scale', 'dtype'):
            wrapper.pop(setting, None)
    print_log(f'Mixed precision with {wrapper.type}')


def enable_auto_scale_lr(cfg: Config) -> None:
    """Let the runner scale the learning rate by the batch size."""
    if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
        raise ValueError(
            f'--auto-scale-lr needs the batch size that the learning rate was chosen '
            f'for: add auto_scale_lr=dict(base_batch_size=...) to {cfg.filename}'
        )
    cfg.auto_scale_lr.enable = True


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    hooks = []
    if args.stage1:
        start_from_stage_1(cfg, args.stage1)
    if args.exposure:
        use_exposure_extractor(cfg, args.exposure)
    start = args.start or (not cfg.get('resume') and cfg.get('load_from'))
    if start:
        hooks.append(start_from(cfg, start, args.stage1))
    if args.resume or cfg.get('resume'):
        checkpoint = args.resume or cfg.get('load_from') or 'auto'
        resume(cfg, checkpoint, args.trust_checkpoint)
    if args.amp:
        enable_amp(cfg)
    if args.auto_scale_lr:
        enable_auto_scale_lr(cfg)
    if cfg.get('resume'):
        hooks = [StrictCheckpointHook(cfg.load_from)]
    build_runner(cfg, hooks, args.trust_checkpoint).train()
    end_process()


if __name__ == '__main__':
    main()
