import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """A wheel built from the files of the checkout; the checkout stays clean."""
    source = tmp_path_factory.mktemp('source')
    for name in ('setup.py', 'pyproject.toml', 'model-index.yml', 'LICENSE'):
        shutil.copy(REPO / name, source)
    for name in ('fmanet_mm', 'configs', 'tools', 'requirements'):
        shutil.copytree(
            REPO / name,
            source / name,
            ignore=shutil.ignore_patterns('__pycache__', '.mim'),
        )
    result = subprocess.run(
        [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation',
         '--wheel-dir', source / 'dist', source],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    (path,) = (source / 'dist').glob('fmanet_mm-*.whl')
    return path


def test_wheel_carries_configs_and_tools(wheel):
    with zipfile.ZipFile(wheel) as archive:
        carried = {
            name.removeprefix('fmanet_mm/.mim/')
            for name in archive.namelist()
            if name.startswith('fmanet_mm/.mim/')
        }
        outside = {name.split('/')[0] for name in archive.namelist()}
    tracked = {
        str(path.relative_to(REPO))
        for folder in ('configs', 'tools')
        for path in (REPO / folder).rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }
    assert carried == tracked | {'model-index.yml'}
    assert {name for name in outside if not name.endswith('.dist-info')} == {
        'fmanet_mm'
    }


def test_wheel_carries_the_parts_of_the_page_of_comparison(wheel):
    folder = Path('fmanet_mm/visualization/compare_page')
    with zipfile.ZipFile(wheel) as archive:
        carried = {
            Path(name).name for name in archive.namelist() if folder.name in name
        }
    there = {path.name for path in (REPO / folder).iterdir() if path.is_file()}
    assert carried == there > {'template.html', 'style.css', 'script.js'}


def test_installed_wheel_works_from_another_folder(wheel, tmp_path):
    target = tmp_path / 'site'
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    # -I and -S: nothing of the checkout, neither its folder nor its editable install.
    dependencies = sysconfig.get_path('purelib')
    script = f"""
import sys
sys.path[:0] = [{str(target)!r}, {dependencies!r}]
import numpy as np
import torch
from mmagic.apis import MMagicInferencer, init_model
import fmanet_mm
from fmanet_mm.utils import config_root
from fmanet_mm.video.reader import open_frames
from fmanet_mm.video.writer import open_writer
print(fmanet_mm.__file__)
print(config_root())
name = 'fmanet_s_stage2'
model = init_model(str(config_root() / (name + '.py')), device='cpu')
torch.save(dict(state_dict=model.state_dict()), 'weights.pth')
with open_writer('in.mp4', fps=30) as writer:
    for _ in range(2):
        writer.write(np.zeros((16, 24, 3), np.uint8))
inferencer = MMagicInferencer(
    'fmanet', config_name=name, model_ckpt='weights.pth', device='cpu'
)
inferencer.infer(video='in.mp4', result_out_dir='out.mp4')
with open_frames('out.mp4') as frames:
    print()
    print([frame.shape for frame in frames], frames.fps)
"""
    result = subprocess.run(
        [sys.executable, '-I', '-S', '-c', script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[:2] == [
        str(target / 'fmanet_mm/__init__.py'),
        str(target / 'fmanet_mm/.mim/configs'),
    ]
    assert lines[-1] == '[(64, 96, 3), (64, 96, 3)] 30'


def test_editable_install_links_to_the_checkout():
    carried = REPO / 'fmanet_mm/.mim'
    if not carried.exists():
        pytest.skip('the package is not installed editable')
    for name in ('configs', 'tools', 'model-index.yml'):
        assert (carried / name).is_symlink()
        assert (carried / name).resolve() == REPO / name


def test_model_index_names_configs_that_exist():
    index = yaml.safe_load((REPO / 'model-index.yml').read_text())
    for metafile in index['Import']:
        models = yaml.safe_load((REPO / metafile).read_text())['Models']
        assert models
        for model in models:
            assert (REPO / model['Config']).is_file(), model['Config']
