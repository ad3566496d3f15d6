r"""Compare the flow that NetD learns by the source of its targets.

Renders windows of synthetic scenes, whose flow is known exactly, and estimates their
flow with OpenCV's DIS and, given its checkpoint, with RAFT-small. Continues stage 1 of
the demo network with the flow of each source on the same windows, and measures the
error of the learned flow on other windows.

    python tools/model_converters/convert_raft.py raft-small.pth raft_small.pth
    python tools/analysis_tools/compare_flow_sources.py --raft raft_small.pth
"""

import argparse
import copy
import json
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import torch
from mmagic.registry import DATASETS, MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch.optim.lr_scheduler import MultiStepLR

import fmanet_mm.openmmlab  # noqa: F401
from fmanet_mm.datasets import EstimateFlow
from fmanet_mm.engine.loop import OF_ITERATION, OF_SAMPLE, seed_generators
from fmanet_mm.models.fmanet.fmanet import FMANetStage1
from fmanet_mm.utils import config_root
from fmanet_mm.utils.checkpoint import load_state_dict_file
from fmanet_mm.utils.files import atomic_write
from fmanet_mm.utils.names import print_any_name

CONFIG = config_root() / 'demo/demo_stage1.py'
WEIGHTS = config_root() / 'demo/fmanet_demo.safetensors'
HALVED_AT = (0.7, 0.85, 0.95)
"""Fractions of the iterations after which the learning rate is halved."""

Samples = list[dict]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--raft', type=Path, help='checkpoint of convert_raft.py')
    parser.add_argument('--windows', type=int, default=192, help='to train on')
    parser.add_argument(
        '--held-out', type=int, default=32, help='windows to measure on'
    )
    parser.add_argument('--size', type=int, default=64, help='side of the windows')
    parser.add_argument('--patch', type=int, default=32, help='side of a patch of them')
    parser.add_argument('--iters', type=int, default=100)
    parser.add_argument('--batch', type=int, default=4)
    parser.add_argument('--lr', type=float, default=2e-4)
    parser.add_argument(
        '--flow-weight', type=float, default=1.0, help='weight of the loss of the flow'
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument('--out', type=Path, help='JSON file to write')
    return parser.parse_args()


def render(config: Config, size: int, seed: int, number: int) -> Samples:
    """Render windows of the scenes that a config trains on."""
    dataset = DATASETS.build(
        dict(
            config.train_dataloader.dataset,
            size=(size, size),
            folders=[],
            shipped=True,
            length=number,
            seed=seed,
            pipeline=[],
        )
    )
    return [dataset.get_data_info(index) for index in range(number)]


def estimators(raft: Path | None) -> dict[str, dict]:
    """Configs of the flow estimators by name."""
    names = {'DIS': 'dis'} | ({'RAFT-small': 'raft_small'} if raft else {})
    found = {}
    for name, file in names.items():
        config = Config.fromfile(config_root() / f'_base_/flow/{file}.py')
        found[name] = config.flow_estimator
    if raft:
        found['RAFT-small'].checkpoint = str(raft)
    return found


def estimate(samples: Samples, estimator: dict) -> Samples:
    """The samples with estimated flow in place of the exact one."""
    transform = EstimateFlow(estimator)
    return [transform(dict(sample)) for sample in samples]


def batches(config: Config, samples: Samples, patch: int, seed: int) -> Iterator[dict]:
    """Batches of random patches, without end; they depend on the seed alone."""
    dataset = config.train_dataloader.dataset
    crop = dict(type='VSRDBRandomCrop', patch_size=patch, scale=dataset.scale)
    steps = [crop, *dataset.pipeline]
    pipeline = Compose([TRANSFORMS.build(step) for step in steps])
    size = config.train_dataloader.batch_size
    for first in count(0, size):
        batch = []
        for position in range(first, first + size):
            seed_generators(seed, OF_SAMPLE, position)
            sample = samples[np.random.randint(len(samples))]
            batch.append(pipeline(copy.copy(sample)))
        yield pseudo_collate(batch)


def demo_network(config: Config) -> FMANetStage1:
    """NetD as the demo has it."""
    model = MODELS.build(config.model)
    weights = load_state_dict_file(str(WEIGHTS))
    own = {name: weights[name].float() for name in model.state_dict()}
    model.load_state_dict(own)
    return model.eval()


def train(
    config: Config, samples: Samples, patch: int, iters: int, seed: int
) -> FMANetStage1:
    """Continue stage 1 of the demo network on the samples."""
    seed_generators(seed, OF_ITERATION)
    model = demo_network(config).train()
    wrapper = build_optim_wrapper(model, copy.deepcopy(config.optim_wrapper))
    schedule = MultiStepLR(
        wrapper.optimizer, [int(part * iters) for part in HALVED_AT], gamma=0.5
    )
    source = batches(config, samples, patch, seed)
    for _ in range(iters):
        model.train_step(next(source), wrapper)
        schedule.step()
    return model.eval()


@torch.no_grad()
def learned(model: FMANetStage1, samples: Samples) -> Samples:
    """The samples with the flow that the network estimates."""
    found = []
    for sample in samples:
        window = torch.from_numpy(np.stack(sample['img'])).permute(0, 3, 1, 2) / 255
        flow = model(window[None])[0, :, :2].permute(0, 2, 3, 1).numpy()
        found.append(dict(sample, flow=[*flow]))
    return found


def error(samples: Samples, exact: Samples) -> float:
    """Mean length of the difference of the flow to the neighbours, in LR pixels."""
    difference = np.array(
        [np.subtract(a['flow'], b['flow']) for a, b in zip(samples, exact, strict=True)]
    )
    centre = difference.shape[1] // 2
    neighbours = difference[:, [centre - 1, centre + 1]]
    return float(np.linalg.norm(neighbours, axis=-1).mean())


def main() -> None:
    print_any_name()
    args = parse_args()
    config = Config.fromfile(CONFIG)
    init_default_scope(config.get('default_scope', 'mmagic'))
    config.model.losses.flow.loss_weight = args.flow_weight
    config.train_dataloader.batch_size = args.batch
    config.optim_wrapper.update(type='OptimWrapper', optimizer=dict(lr=args.lr))
    exact = render(config, args.size, 0, args.windows)
    held_out = render(config, args.size, 1, args.held_out)
    still = [dict(sample, flow=0 * np.array(sample['flow'])) for sample in held_out]
    before = learned(demo_network(config), held_out)
    print(
        f'Mean motion {error(still, held_out):.2f} px; error of the flow before: '
        f'{error(before, held_out):.2f} px',
        flush=True,
    )

    sources = {'exact': exact}
    for name, estimator in estimators(args.raft).items():
        sources[name] = estimate(exact, estimator)
    results = {}
    print(
        '| source | its own error | error of the learned flow, by seed |\n|---|---|---|'
    )
    for name, samples in sources.items():
        begin = time.process_time()
        errors = [
            error(
                learned(train(config, samples, args.patch, args.iters, seed), held_out),
                held_out,
            )
            for seed in args.seeds
        ]
        results[name] = dict(
            own=error(samples, exact),
            learned=errors,
            cpu_seconds=time.process_time() - begin,
        )
        cells = ', '.join(f'{value:.2f}' for value in errors)
        print(f'| {name} | {results[name]["own"]:.2f} | {cells} |', flush=True)
    if args.out:
        with atomic_write(args.out) as draft:
            draft.write_text(json.dumps(results, indent=1) + '\n')


if __name__ == '__main__':
    main()
