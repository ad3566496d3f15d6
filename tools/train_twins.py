r"""Train the demo's network and its flow-guided twin on a GPU, and compare them.

    python tools/train_twins.py data/photos --out work_dirs/twins --minutes 14

Renders windows of synthetic scenes in several processes, keeps them in memory, trains
both stages of both networks on the same windows for the same time, exports them, and
compares them by the motion of other windows. Everything is in configs/demo but the
number of iterations, for which the time decides. To see it work on a CPU, in a minute
and with tiny sizes:

    python tools/train_twins.py --rehearse --out work_dirs/rehearsal
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from mmagic.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

import fmanet_mm.openmmlab  # noqa: F401
from fmanet_mm.export import export_network
from fmanet_mm.models.baselines.bicubic import BicubicUpsampling
from fmanet_mm.models.fmanet.fmanet import FMANet, FMANetStage1
from fmanet_mm.restoration import load_network
from fmanet_mm.utils import config_root
from fmanet_mm.utils.files import atomic_write
from fmanet_mm.utils.names import print_any_name

TWINS = {'conventional': 'demo', 'flow-guided': 'demo_flow_guided'}
"""Configs of the networks, in configs/demo, without the stage."""

HELD_OUT_MOTION = (0.0, 10.0)
"""Range of the mean motion of the windows to compare on, in LR pixels."""

MOTION_BINS = ((0, 2), (2, 4), (4, 6), (6, 10))
"""Bounds of the rows of the comparison, in LR pixels."""

STAGE_1_SHARE = 0.27
"""Share of a network's training time that stage 1 gets, as the demo had."""

HALVED_AT = (0.7, 0.85, 0.95)
"""Fractions of a stage's time after which the learning rate is halved."""

WARM_UP = 200
"""Iterations over which the learning rate rises."""

KINDS = ('img', 'gt', 'img_sharp', 'flow')
BORDER = 4
"""Pixels at the borders that are not measured."""

TINY = dict(
    channels=12,
    num_flows=2,
    num_blocks=1,
    num_heads=2,
    num_rdbs=1,
    growth_channels=4,
    num_dense_layers=2,
    degradation_kernel_size=8,
)
"""Sizes of the networks of a rehearsal."""


@dataclass(frozen=True)
class Plan:
    """How much of everything.

    Attributes:
        size (int): Side of the windows, in LR pixels.
        windows (int): Most windows to train on.
        held_out (int): Windows to compare on.
        shard (int): Windows of a file.
        iterations (int, optional): Of each stage; by default the time decides.
    """

    size: int = 64
    windows: int = 22_316
    held_out: int = 96
    shard: int = 32
    iterations: int | None = None


REHEARSAL = Plan(size=32, windows=8, held_out=4, shard=4, iterations=3)

Windows = dict[str, Tensor]
"""Tensors of N windows by kind: (N, T, H, W, C), uint8, or float16 for the flow."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'photos',
        nargs='*',
        type=Path,
        help='folders of photos (default: those shipped with scikit-image and -learn)',
    )
    parser.add_argument('--out', type=Path, required=True, help='new folder')
    parser.add_argument('--minutes', type=float, default=14, help='for everything')
    parser.add_argument(
        '--rendering', type=float, default=0.2, help='share of the time for rendering'
    )
    parser.add_argument('--processes', type=int, default=os.cpu_count())
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--rehearse', action='store_true', help='tiny sizes, a few iterations'
    )
    args = parser.parse_args()
    if args.out.exists():
        parser.error(f'{args.out} exists; name a new folder')
    return args


# Rendering.


def render(args: argparse.Namespace, plan: Plan, deadline: float) -> None:
    """Render windows into files: those to compare on, then as many as time allows."""
    config = Config.fromfile(config_root() / 'demo/demo_stage1.py')
    scenes = dict(
        config.train_dataloader.dataset,
        size=(plan.size, plan.size),
        folders=[str(folder) for folder in args.photos],
        shipped=not args.photos,
        length=10 * plan.windows,
        pipeline=[],
    )
    jobs = [
        (
            dict(scenes, motion=HELD_OUT_MOTION, seed=scenes['seed'] + 1),
            name,
            'held_out',
        )
        for name in range(-(-plan.held_out // plan.shard))
    ] + [(scenes, name, 'train') for name in range(-(-plan.windows // plan.shard))]
    processes = max(1, min(args.processes, len(jobs)))
    with ProcessPoolExecutor(processes, get_context('spawn')) as pool:
        shards = []
        for dataset, name, kind in jobs:
            path = args.out / kind / f'{name:05d}.npz'
            limit = deadline if kind == 'train' else None
            shards.append(
                pool.submit(render_shard, dataset, name, plan.shard, path, limit)
            )
        for shard in shards:
            shard.result()  # Raises what went wrong.


def render_shard(
    dataset: dict, number: int, length: int, path: Path, deadline: float | None
) -> None:
    """Render the windows of a file, unless the time is up."""
    if deadline is not None and time.time() > deadline:
        return
    init_default_scope('mmagic')
    source = DATASETS.build(dataset)
    samples = [source.get_data_info(number * length + i) for i in range(length)]
    arrays = {kind: np.stack([np.stack(s[kind]) for s in samples]) for kind in KINDS}
    arrays['flow'] = arrays['flow'].astype(np.float16)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft, open(draft, 'wb') as file:
        np.savez(file, **arrays)


def load(folder: Path, device: torch.device) -> Windows:
    """Load all windows of a folder, onto the GPU if they fit into half of it."""
    shards = []
    for path in sorted(folder.glob('*.npz')):
        with np.load(path) as file:
            shards.append({kind: torch.from_numpy(file[kind]) for kind in KINDS})
    if not shards:
        raise ValueError(
            f'no windows were rendered into {folder}; give more --minutes, or a larger '
            'share of them for --rendering'
        )
    windows = {kind: torch.cat([shard[kind] for shard in shards]) for kind in KINDS}
    size = sum(tensor.nbytes for tensor in windows.values())
    if device.type == 'cuda' and size < torch.cuda.mem_get_info(device)[0] / 2:
        windows = {kind: tensor.to(device) for kind, tensor in windows.items()}
    return windows


# Training.


def to_batch(windows: Windows, index: Tensor, device: torch.device) -> Windows:
    """Some of the windows as the model expects them: (N, T, C, H, W), RGB in [0, 1]."""
    batch = {}
    for kind, tensor in windows.items():
        chosen = tensor[index.to(tensor.device)].to(device)
        chosen = chosen.permute(0, 1, 4, 2, 3).float()
        batch[kind] = chosen if kind == 'flow' else chosen / 255
    return batch


def augment(batch: Windows, generator: torch.Generator) -> Windows:
    """Flip, transpose and permute the colours of a batch at random."""
    horizontal, vertical, transposed = torch.rand(3, generator=generator) < 0.5
    for axis, flipped, component in ((-1, horizontal, 0), (-2, vertical, 1)):
        if flipped:
            batch = {kind: tensor.flip(axis) for kind, tensor in batch.items()}
            batch['flow'][:, :, component].neg_()
    if transposed:
        batch = {kind: tensor.transpose(-1, -2) for kind, tensor in batch.items()}
        batch['flow'] = batch['flow'].flip(2)
    order = torch.randperm(3, generator=generator)
    return {
        kind: tensor if kind == 'flow' else tensor[:, :, order.to(tensor.device)]
        for kind, tensor in batch.items()
    }


def batches(
    windows: Windows, size: int, device: torch.device, seed: int
) -> Iterator[Windows]:
    """Random augmented batches, without end."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        index = torch.randint(len(windows['img']), (size,), generator=generator)
        batch = augment(to_batch(windows, index, device), generator)
        yield {kind: tensor.contiguous() for kind, tensor in batch.items()}


def losses(model: FMANetStage1, batch: Windows) -> dict[str, Tensor]:
    targets = dict(gt_img=batch['gt'], img_sharp=batch['img_sharp'], flow=batch['flow'])
    return model.forward_train(batch['img'], targets)


def train(
    model: FMANetStage1,
    config: Config,
    source: Iterator[Windows],
    seconds: float,
    iterations: int | None,
) -> int:
    """Train for a time, on a GPU as one CUDA graph a step; returns the iterations."""
    device = next(model.parameters()).device
    on_gpu = device.type == 'cuda'
    rate = config.optim_wrapper.optimizer.lr
    most = config.optim_wrapper.clip_grad.max_norm
    optimizer = torch.optim.Adam(
        model.parameters(),
        lr=torch.tensor(rate, device=device) if on_gpu else rate,
        capturable=on_gpu,
    )
    static = next(source)

    def step() -> dict[str, Tensor]:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(
            device.type, torch.bfloat16, enabled=on_gpu, cache_enabled=False
        ):
            terms = losses(model, static)
        sum(terms.values()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), most, foreach=True)
        optimizer.step()
        return {name: term.detach() for name, term in terms.items()}

    begin, done = time.monotonic(), 0
    set_rate(optimizer, 0)  # Warming up for the capture must not train.
    run = capture(step) if on_gpu else step
    while True:
        if on_gpu and done % 50 == 0:
            torch.cuda.synchronize()
        share = (time.monotonic() - begin) / seconds
        if iterations is not None:
            share = done / iterations
        if share >= 1:
            return done
        halved = 0.5 ** sum(share >= part for part in HALVED_AT)
        set_rate(optimizer, rate * halved * min(1, (done + 1) / WARM_UP))
        for kind, tensor in next(source).items():
            static[kind].copy_(tensor)
        terms = run()
        done += 1
        if done % 500 == 0 or done == iterations:
            report(done, time.monotonic() - begin, terms)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        if isinstance(group['lr'], Tensor):
            group['lr'].fill_(rate)
        else:
            group['lr'] = rate


def capture(step: Callable[[], dict[str, Tensor]]) -> Callable[[], dict[str, Tensor]]:
    """Record a step as a CUDA graph, which spares the CPU the launches.

    Where that fails, the step itself is returned.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(4):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            result = step()
    except RuntimeError as error:
        print(f'  no CUDA graph, each step is launched: {error}', flush=True)
        torch.cuda.synchronize()
        return step

    def replay() -> dict[str, Tensor]:
        graph.replay()
        return result

    return replay


def report(done: int, seconds: float, terms: dict[str, Tensor]) -> None:
    values = {name: float(term) for name, term in terms.items()}
    if not all(map(np.isfinite, values.values())):
        raise ValueError(f'the loss is not finite after {done} iterations: {values}')
    shown = ', '.join(f'{name} {value:.4f}' for name, value in values.items())
    print(f'  {done} iterations, {done / seconds:.1f} a second: {shown}', flush=True)


def train_twin(
    name: str,
    args: argparse.Namespace,
    plan: Plan,
    windows: Windows,
    seconds: float,
    device: torch.device,
) -> tuple[FMANet, dict[str, int]]:
    """Train both stages of a network and export it."""
    models, done = [], {}
    for stage, share in ((1, STAGE_1_SHARE), (2, 1 - STAGE_1_SHARE)):
        config = Config.fromfile(config_root() / f'demo/{TWINS[name]}_stage{stage}.py')
        config.model.net_d.init_cfg = None
        if args.rehearse:
            config.model.architecture.update(TINY)
        torch.manual_seed(args.seed)
        model = MODELS.build(config.model).to(device).train()
        if models:
            model.net_d.load_state_dict(models[0].net_d.state_dict())
        models.append(model)
        size = 2 if args.rehearse else config.train_dataloader.batch_size
        source = batches(windows, size, device, args.seed + stage)
        print(f'{name}, stage {stage}', flush=True)
        done[f'stage {stage}'] = train(
            model, config, source, share * seconds, plan.iterations
        )
    checkpoint = args.out / f'{TWINS[name]}_stage2.pth'
    weights = {key: value.cpu() for key, value in model.state_dict().items()}
    with atomic_write(checkpoint) as draft:
        torch.save(dict(state_dict=weights), draft)
    exported = args.out / f'{TWINS[name]}.safetensors'
    export_network(load_network(checkpoint, config), exported, half=True)
    return model.eval(), done


# Comparing.


@torch.no_grad()
def measure(model: FMANet, windows: Windows, device: torch.device) -> dict:
    """PSNR and flow error of each window, of the network and of bicubic upsampling."""
    values = dict(motion=[], bicubic=[], restored=[], flow_error=[])
    enlarge = BicubicUpsampling(model.scale)
    for index in range(len(windows['img'])):
        batch = to_batch(windows, torch.tensor([index]), device)
        truth = batch['gt'][:, model.num_frames // 2]
        learned = FMANetStage1.forward_tensor(model, batch['img'])[:, :, :2]
        values['motion'].append(mean_length(batch['flow']))
        values['flow_error'].append(mean_length(learned - batch['flow']))
        values['bicubic'].append(psnr(enlarge(batch['img']), truth))
        values['restored'].append(psnr(model(batch['img']), truth))
    return values


def mean_length(flow: Tensor) -> float:
    """Mean length of the vectors to the neighbours, of (1, T, 2, H, W)."""
    centre = flow.size(1) // 2
    return flow[:, [centre - 1, centre + 1]].norm(dim=2).mean().item()


def psnr(image: Tensor, truth: Tensor) -> float:
    inside = slice(BORDER, -BORDER)
    difference = (image.clamp(0, 1) - truth)[..., inside, inside]
    return -10 * difference.square().mean().log10().item()


def table(measured: dict[str, dict]) -> str:
    """Means by motion, in Markdown; bins without windows are left out."""
    first = next(iter(measured.values()))
    motion = np.array(first['motion'])
    header = ['motion (px)', 'windows', 'bicubic']
    header += [f'{name} | its flow error (px)' for name in measured]
    lines = [' | '.join(header), ' | '.join(['---'] * (3 + 2 * len(measured)))]
    for low, high in (*MOTION_BINS, (0, np.inf)):
        there = (motion >= low) & (motion < high)
        if not there.any():
            continue
        cells = ['all' if high == np.inf else f'{low} to {high}', str(there.sum())]
        cells.append(f'{np.array(first["bicubic"])[there].mean():.2f}')
        for values in measured.values():
            cells += [
                f'{np.array(values[key])[there].mean():.2f}'
                for key in ('restored', 'flow_error')
            ]
        lines.append(' | '.join(cells))
    return '\n'.join(f'| {line} |' for line in lines)


def main() -> None:
    print_any_name()
    args = parse_args()
    begin = time.time()
    end = begin + 60 * args.minutes
    init_default_scope('mmagic')
    plan = REHEARSAL if args.rehearse else Plan()
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    if device.type == 'cuda':
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True

    render(args, plan, begin + 60 * args.minutes * args.rendering)
    windows, held_out = (
        load(args.out / kind, device) for kind in ('train', 'held_out')
    )
    print(f'{len(windows["img"])} windows in {time.time() - begin:.0f} s', flush=True)
    # A twentieth is for comparing and exporting.
    seconds = (end - time.time() - 3 * args.minutes) / len(TWINS)
    measured, iterations = {}, {}
    for name in TWINS:
        model, iterations[name] = train_twin(name, args, plan, windows, seconds, device)
        measured[name] = measure(model, held_out, device)
    text = table(measured)
    print(f'{text}\n{iterations}\nNetworks and figures are in {args.out}')
    results = dict(iterations=iterations, windows=len(windows['img']), **measured)
    with atomic_write(args.out / 'results.json') as draft:
        draft.write_text(json.dumps(results, indent=1) + '\n')


if __name__ == '__main__':
    main()
