"""Restoring needs no OpenMMLab, and the command's help no PyTorch."""

import subprocess
import sys

import pytest
import torch

from fmanet_mm.utils import config_root
from fmanet_mm.video.writer import open_writer

DEMO = config_root() / 'demo'
WEIGHTS = DEMO / 'fmanet_demo.safetensors'

# Not transformers and tqdm: MMEngine and torch import them wherever they are installed.
OPENMMLAB = (
    *('mmagic', 'mmcv', 'mmflow', 'torchvision', 'diffusers', 'mediapipe', 'skimage'),
    *('lpips', 'onnx'),
)


def run(script, folder, *arguments):
    """Run a script in a fresh interpreter; gives its output."""
    result = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', script, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def imported(script, folder, names, *arguments):
    """Which of the packages a script imports."""
    report = f'\nimport sys\nprint(*sorted(set({names}) & set(sys.modules)))'
    return run(script + report, folder, *arguments).splitlines()[-1].split()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with a short clip, and a checkpoint of the demo's weights."""
    folder = tmp_path_factory.mktemp('doors')
    with open_writer(folder / 'clip.mp4', fps=25) as writer:
        for value in range(0, 90, 30):
            writer.write(torch.full((24, 32, 3), value, dtype=torch.uint8).numpy())
    from safetensors.torch import load_file

    torch.save(dict(state_dict=load_file(WEIGHTS)), folder / 'demo.pth')
    return folder


USES = {
    'import': 'import fmanet_mm, fmanet_mm.restoration',
    'safetensors': f"""
from fmanet_mm.restoration import VideoRestorer
restorer = VideoRestorer.load({str(WEIGHTS)!r}, device='cpu')
assert restorer.restore_video('clip.mp4', 'api.mp4').num_frames == 3
""",
    'config and checkpoint': f"""
from fmanet_mm.restoration import VideoRestorer
config = {str(DEMO / 'demo_stage2.py')!r}
restorer = VideoRestorer.load('demo.pth', config, device='cpu')
assert restorer.restore_video('clip.mp4', 'config.mp4').num_frames == 3
""",
    'command with a comparison page': f"""
from fmanet_mm.cli.restore_video import main
arguments = ['clip.mp4', '--out', 'cli.mp4', '--device', 'cpu', '--compare']
assert main([*arguments, '--checkpoint', {str(WEIGHTS)!r}]) == 0
""",
    'export': f"""
from fmanet_mm.export import export_network
from fmanet_mm.restoration import load_network
network = load_network('demo.pth', {str(DEMO / 'demo_stage2.py')!r})
export_network(network, 'exported.safetensors')
""",
    'measures': 'import fmanet_mm.utils.quality',
}


@pytest.mark.parametrize('use', USES)
def test_restoring_imports_no_openmmlab(folder, use):
    assert imported(USES[use], folder, OPENMMLAB) == []


def test_openmmlab_has_a_door_of_its_own(folder):
    pytest.importorskip('mmagic')
    names = imported('import fmanet_mm.openmmlab', folder, OPENMMLAB)
    assert {'mmagic', 'mmcv'} <= set(names)


@pytest.mark.parametrize(
    ('arguments', 'code', 'message'),
    [
        (['--help'], 0, 'usage: fmanet-restore'),
        ([], 2, 'required: INPUT'),
        (['clip.mp4', '--checkpoint', 'x.pth', '--dtype', 'int8'], 2, 'invalid choice'),
        (['clip.mp4', '--checkpoint', 'x.pth', '--fps', 'many'], 2, 'fps'),
        (['clip.mp4', '--checkpoint', 'x.pth', '--start', '2', '--end', '1'], 2, 'end'),
    ],
)
def test_help_and_wrong_arguments_import_nothing_slow(folder, arguments, code, message):
    script = """
import sys
from fmanet_mm.cli.restore_video import main
try:
    main(sys.argv[1:])
except SystemExit as error:
    slow = {'torch', 'mmengine', 'numpy', 'cv2', 'av'} & set(sys.modules)
    print('code', error.code, *sorted(slow))
"""
    result = subprocess.run(
        [sys.executable, '-c', script, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert result.stdout.splitlines()[-1] == f'code {code}'
    assert message in result.stdout + result.stderr


def test_training_without_mmagic_says_what_to_do(folder):
    script = """
import sys
sys.modules['mmagic'] = None
try:
    import fmanet_mm.openmmlab
except ImportError as error:
    print(error)
"""
    remedy = 'pip install "fmanet_mm[train]"'
    if sys.version_info >= (3, 13):
        remedy = 'PYTHON=/path/to/python3.11 bash tools/setup_env.sh'
    assert remedy in run(script, folder)
